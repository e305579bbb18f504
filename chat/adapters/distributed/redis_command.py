"""One command to Redis, ready to be sent and, where that is safe, sent again."""

from __future__ import annotations

from collections.abc import Sequence

from .redis_scripts import Script

Word = str | int | float | bytes


class Command:
    """About `key`, or a sharded channel, whose slot decides where it goes.

    `again`: it may be carried out twice, so it can be sent again when nobody knows whether it was.
    """

    __slots__ = ("again", "key", "script", "size", "words")

    def __init__(self, key: str, name: str, *arguments: Word, again: bool = True, script: Script | None = None) -> None:
        """`script` is the one that the command names, for a server that does not know it."""
        self.key = key
        self.words: tuple[str | bytes, ...] = (name, *map(_encode, arguments))
        self.size = sum(map(len, self.words))
        """About how many bytes it is."""
        self.again = again
        self.script = script


class ScriptCommand(Command):
    """Runs `script`; all `keys`, at least one, are in one slot."""

    __slots__ = ()

    def __init__(self, script: Script, keys: Sequence[str], *arguments: Word, again: bool = True) -> None:
        super().__init__(keys[0], "EVALSHA", script.sha, len(keys), *keys, *arguments, again=again, script=script)


def _encode(word: Word) -> bytes:
    """Here rather than in the driver: what cannot be encoded is an error of its caller, and of no other."""
    if isinstance(word, bytes):
        return word
    return (word if isinstance(word, str) else repr(word)).encode()
