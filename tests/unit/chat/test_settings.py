"""Settings come from flags, the environment and a file, and a wrong one gets one clear line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from chat.settings import ConfigError, load, settings_of


@dataclasses.dataclass(frozen=True)
class Rate:
    per_second: float
    burst: float


@dataclasses.dataclass(frozen=True)
class Section:
    max_connections: int = 100
    """How many."""
    compression: bool = True
    publish: Rate = Rate(5, 50)
    """How often."""
    decided: str = "by the program"

    def __post_init__(self) -> None:
        if self.max_connections <= 0:
            raise ValueError(f"max_connections must be positive, not {self.max_connections}")


@dataclasses.dataclass(frozen=True)
class Config:
    data_dir: Path = Path("data")
    kind: Literal["a", "b"] = "a"
    origins: tuple[str, ...] = dataclasses.field(default=(), metadata={"flag": "--origin"})
    secret_key: str = dataclasses.field(default="", metadata={"secret": True})
    seconds: float = 1.5
    section: Section = dataclasses.field(default_factory=Section, metadata={"derived": ("decided",)})


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "node.toml").write_text(text)
    return str(tmp_path / "node.toml")


def refusal(flags: dict[str, object] | None = None, env: dict[str, str] | None = None, file: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(Config, flags or {}, env or {}, file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_anything_all_settings_are_at_their_defaults() -> None:
    assert load(Config, {}, {}) == (Config(), {})


def test_every_field_of_a_section_is_a_setting_and_derived_ones_are_not() -> None:
    settings = settings_of(Config)
    assert list(settings) == [
        "data_dir",
        "kind",
        "origins",
        "secret_key",
        "seconds",
        "max_connections",
        "compression",
        "publish_per_second",
        "publish_burst",
    ]
    assert settings["max_connections"].doc == "How many."
    assert settings["publish_burst"].doc == "How often."
    assert settings["origins"].flag == "--origin"
    assert settings["publish_burst"].variable == "CHAT_GATEWAY_PUBLISH_BURST"


def test_a_flag_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, 'max_connections = 1\nseconds = 2\nkind = "b"\n')
    env = {"CHAT_GATEWAY_MAX_CONNECTIONS": "3", "CHAT_GATEWAY_SECONDS": "4", "OTHER": "x"}
    config, sources = load(Config, {"max_connections": "5"}, env, file)
    assert (config.section.max_connections, config.seconds, config.kind) == (5, 4.0, "b")
    assert sources == {
        "max_connections": "--max-connections",
        "seconds": "CHAT_GATEWAY_SECONDS",
        "kind": f"kind in {file}",
    }


def test_the_environment_can_name_the_file(tmp_path: Path) -> None:
    config, _ = load(Config, {}, {"CHAT_GATEWAY_CONFIG": written(tmp_path, "publish_burst = 7")})
    assert config.section.publish == Rate(5, 7.0)


def test_a_list_is_an_array_in_the_file_and_commas_in_the_environment(tmp_path: Path) -> None:
    assert load(Config, {}, {}, written(tmp_path, 'origins = ["x", "y"]'))[0].origins == ("x", "y")
    assert load(Config, {}, {"CHAT_GATEWAY_ORIGINS": "x, y"})[0].origins == ("x", "y")
    assert load(Config, {"origins": ["x", "y"]}, {})[0].origins == ("x", "y")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False)])
def test_a_truth_is_spelled_out(text: str, value: bool) -> None:
    assert load(Config, {}, {"CHAT_GATEWAY_COMPRESSION": text})[0].section.compression is value


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MAX_CONNECTIONS", "many", 'expected a whole number from 0, not "many"'),
        ("MAX_CONNECTIONS", "1.5", "expected a whole number"),
        ("SECONDS", "inf", "expected a number from 0"),
        ("SECONDS", "nan", "expected a number from 0"),
        ("SECONDS", "-0.5", "expected a number from 0"),
        ("COMPRESSION", "maybe", "expected true or false"),
        ("KIND", "c", "expected one of a, b"),
    ],
)
def test_a_wrong_value_is_named_with_its_source_and_what_is_expected(variable: str, value: str, expected: str) -> None:
    message = refusal(env={f"CHAT_GATEWAY_{variable}": value})
    assert message.startswith(f"setting {variable.lower()} (from CHAT_GATEWAY_{variable}): ")
    assert expected in message


@pytest.mark.parametrize("line", ["max_connections = true", 'max_connections = "a"', "origins = 5", "origins = [1]"])
def test_a_value_of_another_type_in_the_file_is_refused(tmp_path: Path, line: str) -> None:
    file = written(tmp_path, line)
    assert f"in {file}): expected" in refusal(file=file)


def test_what_a_section_refuses_is_traced_to_its_source() -> None:
    message = refusal(flags={"max_connections": "0"})
    assert message == "setting max_connections (from --max-connections): max_connections must be positive, not 0"


def test_an_unknown_key_in_the_file_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    message = refusal(file=written(tmp_path, "max_conections = 5"))
    assert message.endswith("there is no setting max_conections; did you mean max_connections?")


def test_an_unknown_variable_is_an_error_with_a_suggestion() -> None:
    message = refusal(env={"CHAT_GATEWAY_SECOND": "5"})
    assert message == "environment: there is no setting CHAT_GATEWAY_SECOND; did you mean CHAT_GATEWAY_SECONDS?"


def test_a_derived_setting_cannot_be_given() -> None:
    assert "there is no setting" in refusal(env={"CHAT_GATEWAY_DECIDED": "by me"})


@pytest.mark.parametrize("text", ["= 5", "seconds = ", "\udce9"])
def test_a_file_that_is_no_toml_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "node.toml").write_bytes(text.encode(errors="surrogateescape"))
    assert "node.toml" in refusal(file=str(tmp_path / "node.toml"))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    assert refusal(file=str(tmp_path / "none.toml")).endswith("none.toml: No such file or directory")


def test_a_secret_is_not_repeated_in_the_complaint(tmp_path: Path) -> None:
    file = written(tmp_path, "secret_key = 123456")
    assert "123456" not in refusal(file=file)
