"""Stores of objects: a directory, and a bucket of a stand-in for S3."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chat.adapters.archive.errors import ArchiveUnusable
from chat.adapters.archive.local_objects import LocalObjects
from chat.adapters.archive.objects import ObjectStore, open_objects


def test_an_object_is_read_by_ranges(objects: ObjectStore) -> None:
    objects.write("ab/name.parquet", b"0123456789")
    assert objects.size("ab/name.parquet") == 10
    assert objects.read("ab/name.parquet", 0, 10) == b"0123456789"
    assert objects.read("ab/name.parquet", 3, 4) == b"3456"
    assert objects.read("ab/name.parquet", 8, 4) == b"89"


def test_a_large_object_is_stored_whole(objects: ObjectStore) -> None:
    data = bytes(range(256)) * (12 << 12)
    objects.write("large", data)
    assert objects.size("large") == len(data)
    assert objects.read("large", 0, len(data)) == data


def test_an_object_is_replaced_as_a_whole(objects: ObjectStore) -> None:
    objects.write("name", b"a longer text")
    objects.write("name", b"short")
    assert objects.read("name", 0, 100) == b"short"


def test_an_object_that_does_not_exist_is_not_found(objects: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        objects.read("nothing", 0, 1)
    with pytest.raises(FileNotFoundError):
        objects.size("nothing")


def test_to_delete_twice_is_to_delete_once(objects: ObjectStore) -> None:
    objects.write("ab/name", b"x")
    for _ in range(2):
        objects.delete("ab/name")
    with pytest.raises(FileNotFoundError):
        objects.size("ab/name")


def test_a_directory_is_for_this_user_alone(tmp_path: Path) -> None:
    LocalObjects(tmp_path / "archive").write("ab/name", b"x")
    for path in (tmp_path / "archive", tmp_path / "archive" / "ab", tmp_path / "archive" / "ab" / "name"):
        assert not path.stat().st_mode & 0o077, path


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.write("name", b"old")
    (tmp_path / "name.partial").mkdir()  # so that there can be no such file
    with pytest.raises(OSError, match="directory"):
        objects.write("name", b"new")
    assert objects.read("name", 0, 10) == b"old"


@pytest.mark.parametrize("location", ["s3://", "s3:///prefix", "gs://bucket", "https://host/path"])
def test_a_location_that_is_none_is_refused(location: str) -> None:
    with pytest.raises(ArchiveUnusable, match="archive: "):
        open_objects(location)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ArchiveUnusable, match=r"chat-gateway\[archive\]"):
        open_objects("s3://bucket")
