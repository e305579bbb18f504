"""The configuration of a node, as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.config import ChatConfig
from chat.settings import ConfigError, load, settings_of
from tests.support.configuration_page import PAGE, render


def test_every_setting_can_be_set_in_the_environment_to_what_it_is() -> None:
    settings = settings_of(ChatConfig)
    env = {
        setting.variable: ",".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
        for setting in settings.values()
    }
    config, sources = load(ChatConfig, {}, env)
    assert config == ChatConfig()
    assert set(sources) == set(settings)


def test_every_setting_is_documented() -> None:
    assert [name for name, setting in settings_of(ChatConfig).items() if not setting.doc] == []


def test_the_page_of_settings_is_up_to_date() -> None:
    assert PAGE.read_text() == render(PAGE.read_text()), "run: python -m tests.support.configuration_page"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("token_key", "short", "token_key must have at least 32 bytes"),
        ("node", "Node One", "node must have at most 32 characters"),
        ("shutdown_seconds", "0", "shutdown_seconds must be at least 1"),
        ("port", "70000", "port must be between 0 and 65535"),
        ("max_connections", "0", "max_connections must be positive"),
        ("soft_outbox_bytes", "99999999", "soft_outbox_bytes must not exceed max_outbox_bytes"),
        ("allowed_origins", "https://chat.example.org/", "allowed_origins must hold origins like"),
        ("trusted_proxies", "10.0.0.0/33", "trusted_proxies must hold addresses or networks"),
        ("max_http_connections", "0", "max_http_connections must be positive"),
    ],
)
def test_a_value_out_of_range_is_traced_to_its_setting(name: str, value: str, expected: str) -> None:
    variable = f"CHAT_GATEWAY_{name.upper()}"
    with pytest.raises(ConfigError) as caught:
        load(ChatConfig, {}, {variable: value})
    assert str(caught.value).startswith(f"setting {name} (from {variable}): {expected}")
    assert "\n" not in str(caught.value)


def test_secrets_are_not_part_of_the_text_of_a_configuration() -> None:
    secret = "s" * 40
    assert secret not in repr(ChatConfig(token_key=secret, previous_token_key=secret, data_dir=Path("x")))
