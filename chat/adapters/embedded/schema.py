"""The tables, as numbered migrations: `PRAGMA user_version` says how many have run.

A migration that has been released is never changed; a new one is added below it.
"""

from __future__ import annotations

import sqlite3

from .errors import DatabaseUnusable

APPLICATION_ID = 0x43484754
"""'CHGT' in the file's header: tells our files from those of other programs."""

_V1 = """
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    folded_name TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    banned INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (id),
    created REAL NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user);
CREATE INDEX sessions_by_expiry ON sessions (expires);

CREATE TABLE rooms (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    epoch TEXT NOT NULL,
    pair TEXT UNIQUE  -- of a direct room: its two users, in order
) WITHOUT ROWID;
CREATE INDEX public_rooms ON rooms (id) WHERE kind = 'public';

CREATE TABLE heads (  -- the newest message of each room; apart from rooms because it changes all the time
    room TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    ts INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE members (
    room TEXT NOT NULL REFERENCES rooms (id),
    user TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user);

CREATE TABLE read_marks (  -- they outlive the membership
    room TEXT NOT NULL,
    user TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID;

CREATE TABLE messages (
    room TEXT NOT NULL,
    seq INTEGER NOT NULL,
    ts INTEGER NOT NULL,  -- milliseconds UTC
    user TEXT NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,  -- MessagePack
    revision INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (room, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX messages_by_key ON messages (user, room, key);

CREATE TABLE mentions (
    user TEXT NOT NULL,
    ts INTEGER NOT NULL,
    room TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (user, ts, room, seq)
) WITHOUT ROWID;
CREATE INDEX mentions_by_message ON mentions (room, seq);
"""

_V2 = """
ALTER TABLE users ADD COLUMN admin INTEGER NOT NULL DEFAULT 0;

ALTER TABLE rooms ADD COLUMN lower_name TEXT NOT NULL DEFAULT '';  -- to search by
UPDATE rooms SET lower_name = lower_name(name);
CREATE INDEX rooms_by_name ON rooms (lower_name, id);
"""

_V3 = """
CREATE TABLE journal (  -- messages that are not in their table yet
    id INTEGER PRIMARY KEY,
    messages BLOB NOT NULL  -- MessagePack
);
"""

MIGRATIONS = (_V1, _V2, _V3)


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the database to the newest version, each step in a transaction of its own.

    Raises: DatabaseUnusable if the file is another program's or was written by a newer version.
    """
    version = _version(connection)
    connection.create_function("lower_name", 1, str.lower)  # SQLite's own knows ASCII only
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        stamp = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number};"
        # executescript ends any transaction that is open, so this one is part of the script.
        connection.executescript(f"BEGIN IMMEDIATE; {script} {stamp} COMMIT;")


def _version(connection: sqlite3.Connection) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise DatabaseUnusable("it is a database of another program")
    if version > len(MIGRATIONS):
        raise DatabaseUnusable(
            f"its version {version} is newer than this program's {len(MIGRATIONS)}: upgrade the program"
        )
    return int(version)
