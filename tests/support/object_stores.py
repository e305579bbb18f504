"""Fixtures of stores of objects: a directory, and a bucket of a stand-in for S3.

A conftest that imports both `objects` and `s3` gives every test that takes `objects` one of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.adapters.archive.objects import ObjectStore, open_objects
from tests.support.s3_server import S3Server, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["directory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    location = request.getfixturevalue("s3").location if request.param == "s3" else str(tmp_path / "archive")
    return open_objects(location)
