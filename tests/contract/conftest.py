"""Fixtures of the contract suites."""

from tests.support.gateways import backend, gateways

__all__ = ["backend", "gateways"]
