"""The Lua scripts beside this module: known to Redis by the hash of their text, sent whole where they are not."""

from __future__ import annotations

import dataclasses
import hashlib
from importlib import resources


@dataclasses.dataclass(frozen=True, slots=True)
class Script:
    """A script's text and its SHA-1, which is its name in Redis."""

    text: str
    sha: str


def load_script(name: str, *shared: str) -> Script:
    """The script in `scripts/{name}.lua`, behind those that it shares with others; each says what it does."""
    folder = resources.files(__package__).joinpath("scripts")
    text = "".join(folder.joinpath(f"{part}.lua").read_text() for part in (*shared, name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
