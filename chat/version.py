"""The version of what is installed."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """As the package's metadata say; `0+source` when the source tree runs without being installed."""
    try:
        return importlib.metadata.version("chat-gateway")
    except importlib.metadata.PackageNotFoundError:
        return "0+source"
