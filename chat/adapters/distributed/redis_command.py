"""One command to Redis, ready to be sent and, where that is safe, sent again."""

from __future__ import annotations

from collections.abc import Sequence

from .redis_scripts import Script
from .redis_wire import pack

Word = str | int | float | bytes


class Command:
    """About `key`, or a sharded channel, whose slot decides where it goes.

    `again`: it may be carried out twice, so it can be sent again when nobody knows whether it was.
    """

    __slots__ = ("again", "key", "packed")

    def __init__(self, key: str, *words: Word, again: bool = True) -> None:
        self.key = key
        self.packed = pack(*words)
        self.again = again

    def whole(self) -> bytes | None:
        """The command with the text of its script, for a server that does not know it by name."""
        return None


class ScriptCommand(Command):
    """Runs `script`; all `keys`, at least one, are in one slot."""

    __slots__ = ("_arguments", "_keys", "_script")

    def __init__(self, script: Script, keys: Sequence[str], *arguments: Word, again: bool = True) -> None:
        super().__init__(keys[0], "EVALSHA", script.sha, len(keys), *keys, *arguments, again=again)
        self._script = script
        self._keys = keys
        self._arguments = arguments

    def whole(self) -> bytes | None:
        return pack("EVAL", self._script.text, len(self._keys), *self._keys, *self._arguments)
