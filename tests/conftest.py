"""Fixtures for every test."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set for a node of their own must not change a test."""
    for name in [name for name in os.environ if name.startswith("CHAT_GATEWAY_")]:
        monkeypatch.delenv(name)
