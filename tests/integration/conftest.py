"""Fixtures of the integration tests."""

from tests.support.gateways import backend, gateways
from tests.support.object_stores import objects, s3

__all__ = ["backend", "gateways", "objects", "s3"]
