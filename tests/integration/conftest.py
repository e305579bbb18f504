"""Fixtures of the integration tests."""

from tests.support.gateways import backend, gateways

__all__ = ["backend", "gateways"]
