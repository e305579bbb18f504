"""The command `chat-gateway`."""

from .main import main

__all__ = ["main"]
