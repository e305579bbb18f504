"""Settings: a tree of dataclasses, filled from flags, the environment and a file.

A configuration is a frozen dataclass. Its fields, and those of the dataclasses that it holds (its sections),
are the settings; their annotations, defaults and docstrings are all there is to say about one. So a limit that
a component adds to its own dataclass can be set, shown and documented without another word anywhere.

The three spellings of a setting `max_connections` are `--max-connections`, `CHAT_GATEWAY_MAX_CONNECTIONS` and
`max_connections` in the TOML file; the first one found, in this order, counts.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import math
import re
import textwrap
import tomllib
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from gateway_core import UsageError

PREFIX = "CHAT_GATEWAY_"
FILE_VARIABLE = PREFIX + "CONFIG"
"""Names the file; the flag `--config` goes before it."""
_URL_PASSWORD = re.compile(r"(://[^,:@/\s]*):[^,\s]*@")

T = TypeVar("T")


class ConfigError(Exception):
    """A wrong setting: one line that names it, where it came from, and what is expected."""


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of the configuration. `path` leads to it through the sections."""

    name: str
    path: tuple[str, ...]
    type: Any
    default: Any
    doc: str
    flag: str
    secret: bool

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if _is_list(self.type):
            return "a list of texts"
        if typing.get_origin(self.type) is Literal:
            return "one of " + ", ".join(typing.get_args(self.type))
        return _READERS[self.type][1]

    @property
    def shown_default(self) -> str:
        return show(self.default) if self.default not in ("", ()) else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody wrote it, and where: `--port`, `CHAT_GATEWAY_PORT`, `port in node.toml`."""

    value: Any
    source: str


def settings_of(config: type[Any]) -> dict[str, Setting]:
    """All settings of a configuration class, by name, in the order in which they are declared."""
    found: dict[str, Setting] = {}
    for setting in _walk(config()):
        if setting.name in found:
            raise TypeError(f"two settings are called {setting.name}")
        found[setting.name] = setting
    return found


def load(
    config: type[T], flags: Mapping[str, Any], environment: Mapping[str, str], file: str | None = None
) -> tuple[T, dict[str, str]]:
    """The configuration, and the source of every setting that is not at its default.

    `flags` holds the values by setting; `file` is the one that `--config` named. Raises: ConfigError.
    """
    settings = settings_of(config)
    file = file or environment.get(FILE_VARIABLE)
    given = {**_from_file(settings, file), **_from_environment(settings, environment)}
    given |= {name: Given(value, settings[name].flag) for name, value in flags.items()}
    values = {settings[name].path: _read(settings[name], there) for name, there in given.items()}
    try:
        return _build(config(), values, ()), {name: there.source for name, there in given.items()}
    except (ValueError, UsageError) as error:
        raise _blamed(error, given) from None


def show(value: Any) -> str:
    """A value as the file spells it; passwords in URLs are not shown."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(show(item) for item in value) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | Path):
        return '"' + _URL_PASSWORD.sub(r"\1:***@", str(value)) + '"'
    return str(value)


def _walk(
    node: Any, path: tuple[str, ...] = (), prefix: str = "", doc: str = "", derived: Collection[str] = ()
) -> Iterator[Setting]:
    """Settings below `node`; what a section holds in turn (a rate's parts) has its name as prefix, and its doc.

    A section's fields that its owner names as `derived` in the metadata are set by the program, not by people.
    """
    hints = typing.get_type_hints(type(node))
    docs = _attribute_docs(type(node))
    for field in dataclasses.fields(node):
        value, here = getattr(node, field.name), (*path, field.name)
        if dataclasses.is_dataclass(value):
            below = f"{field.name}_" if path else ""
            yield from _walk(value, here, below, docs.get(field.name, ""), field.metadata.get("derived", ()))
        elif field.name not in derived:
            name = prefix + field.name
            yield Setting(
                name=name,
                path=here,
                type=hints[field.name],
                default=value,
                doc=docs.get(field.name, doc),
                flag=field.metadata.get("flag", "--" + name.replace("_", "-")),
                secret=bool(field.metadata.get("secret")),
            )


def _attribute_docs(cls: type) -> dict[str, str]:
    """The string below each field of a class; nothing where the source is not at hand."""
    try:
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except OSError:
        return {}
    docs = {}
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            docs[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return docs


def _from_file(settings: Mapping[str, Setting], file: str | None) -> dict[str, Given]:
    if not file:
        return {}
    try:
        with Path(file).open("rb") as stream:
            content = tomllib.load(stream)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {file}: {getattr(error, 'strerror', None) or error}") from None
    for key in content:
        if key not in settings:
            raise ConfigError(f"configuration file {file}: there is no setting {key}{_meant(key, settings)}")
    return {key: Given(value, f"{key} in {file}") for key, value in content.items()}


def _from_environment(settings: Mapping[str, Setting], environment: Mapping[str, str]) -> dict[str, Given]:
    names = {setting.variable: name for name, setting in settings.items()}
    given = {}
    for variable, value in environment.items():
        if variable in names:
            given[names[variable]] = Given(value, variable)
        elif variable.startswith(PREFIX) and variable != FILE_VARIABLE:
            raise ConfigError(f"environment: there is no setting {variable}{_meant(variable, names)}")
    return given


def _meant(word: str, words: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _read(setting: Setting, given: Given) -> Any:
    try:
        return _convert(setting.type, given.value)
    except ValueError:
        value = "" if setting.secret else f", not {show(given.value)}"
        raise ConfigError(f"{_named(setting.name, given)}: expected {setting.expected}{value}") from None


def _convert(kind: Any, value: Any) -> Any:
    if _is_list(kind):
        items = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list):
            raise ValueError
        return tuple(_text(item) for item in items if item != "")
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise ValueError
        return value
    return _READERS[kind][0](value)


def _is_list(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _path(value: Any) -> Path:
    return Path(_text(value) or ".").expanduser()


def _truth(value: Any) -> bool:
    word = value if isinstance(value, bool) else _text(value).lower()
    if word not in (True, False, "true", "false"):
        raise ValueError
    return word in (True, "true")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int) or int(value) < 0:
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not 0 <= float(value) < math.inf:
        raise ValueError
    return float(value)


_READERS: dict[type, tuple[Callable[[Any], Any], str]] = {
    bool: (_truth, "true or false"),
    int: (_whole, "a whole number from 0"),
    float: (_number, "a number from 0"),
    str: (_text, "a text"),
    Path: (_path, "a path"),
}


def _build(node: Any, values: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> Any:
    """`node` with the given values in place of its defaults, from the leaves up."""
    changes = {}
    for field in dataclasses.fields(node):
        here, value = (*path, field.name), getattr(node, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _build(value, values, here)
        elif here in values:
            changes[field.name] = values[here]
    return dataclasses.replace(node, **changes)


def _blamed(error: Exception, given: Mapping[str, Given]) -> ConfigError:
    """A component refused its values: its message begins with the name of the setting."""
    name = str(error).partition(" ")[0].rstrip(":,")
    if name in given:
        return ConfigError(f"{_named(name, given[name])}: {error}")
    return ConfigError(f"settings: {error}")


def _named(name: str, given: Given) -> str:
    return f"setting {name} (from {given.source})"
