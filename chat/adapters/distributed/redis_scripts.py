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


def load_script(name: str) -> Script:
    """The script in `scripts/{name}.lua`; its first comment says what it takes and returns."""
    text = resources.files(__package__).joinpath("scripts", f"{name}.lua").read_text()
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
