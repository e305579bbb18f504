"""Fixtures of the tests of the archive."""

from tests.support.object_stores import objects, s3

__all__ = ["objects", "s3"]
