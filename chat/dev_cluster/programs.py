"""The programs that a cluster is made of."""

from __future__ import annotations

import os
import shutil

from .errors import ProgramMissing

_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
"""Where servers are, and which the PATH of a user often leaves out."""


def find_program(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SYSTEM_FOLDERS))


def program(name: str, package: str) -> str:
    """The path of a program that Debian has in `package`. Raises: ProgramMissing."""
    path = find_program(name)
    if path is None:
        raise ProgramMissing(f"{name} is not installed; in Debian it is in the package {package}")
    return path
