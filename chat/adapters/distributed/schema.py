"""The tables of a shard, as numbered migrations; the table `migrations` says which have run.

A migration that has been released is never changed; a new one is added below it. DDL commits by itself, so a
migration may be interrupted between two statements and runs again from its beginning: each statement must bear
that. (An ALTER that adds a column does: a column that is there already counts as done.) A node works with a schema
that is newer than itself, so migrations add, and remove only what no node of the version before still uses.

Ids, keys and folded names are VARBINARY: equal if their bytes are, on every server. (As text, MariaDB's
utf8mb4_bin holds 'a' and 'a ' for the same.)

What a shard has is what its own `bucket_map` says it has: every query of the stores joins that table, and every
write locks the bucket's row there (see mysql_pool). Rows of other buckets are copies on their way in or out. A table
whose rows belong to a bucket must be listed in bucket_tables, so that they move with it.
"""

from __future__ import annotations

from .shard_map import BUCKETS

_ID = "VARBINARY(32) NOT NULL"
_ROLE = "VARBINARY(16) NOT NULL"
_TEXT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
_OPTIONS = "ENGINE=InnoDB ROW_FORMAT=DYNAMIC"


def _bucket(column: str) -> str:
    return f"bucket SMALLINT UNSIGNED AS (CRC32({column}) % {BUCKETS}) STORED"


_V1 = (
    f"""CREATE TABLE IF NOT EXISTS bucket_map (
        kind VARBINARY(8) NOT NULL,
        bucket SMALLINT UNSIGNED NOT NULL,
        shard {_ID},
        PRIMARY KEY (kind, bucket)
    ) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS map_version (
        only TINYINT NOT NULL PRIMARY KEY,
        version BIGINT UNSIGNED NOT NULL,
        shard {_ID} COMMENT 'the name of the shard that this database is'
    ) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS rooms (
        id {_ID} PRIMARY KEY,
        kind {_ROLE},
        name VARCHAR(255) {_TEXT},
        epoch {_ID},
        seq BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the newest message',
        ts BIGINT NOT NULL DEFAULT 0 COMMENT 'of the newest message, milliseconds UTC',
        {_bucket("id")},
        KEY by_kind (kind, id),
        KEY by_bucket (bucket)
    ) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS members (
        room {_ID},
        user {_ID},
        role {_ROLE},
        PRIMARY KEY (room, user)
    ) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS read_marks (
        room {_ID},
        user {_ID},
        seq BIGINT UNSIGNED NOT NULL,
        PRIMARY KEY (room, user)
    ) {_OPTIONS} COMMENT 'they outlive the membership'""",
    f"""CREATE TABLE IF NOT EXISTS messages (
        room {_ID},
        seq BIGINT UNSIGNED NOT NULL,
        ts BIGINT NOT NULL COMMENT 'milliseconds UTC',
        user {_ID},
        `key` VARBINARY(256) NOT NULL,
        body BLOB NOT NULL COMMENT 'MessagePack',
        revision INT UNSIGNED NOT NULL DEFAULT 0,
        deleted TINYINT NOT NULL DEFAULT 0,
        PRIMARY KEY (room, seq),
        UNIQUE KEY by_key (room, user, `key`),
        KEY by_user (user, ts),
        KEY by_time (ts)
    ) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS mentions (
        user {_ID},
        ts BIGINT NOT NULL,
        room {_ID},
        seq BIGINT UNSIGNED NOT NULL,
        PRIMARY KEY (user, ts, room, seq),
        KEY by_message (room, seq)
    ) {_OPTIONS} COMMENT 'with the room, so that they are written with the message'""",
    f"""CREATE TABLE IF NOT EXISTS users (
        id {_ID} PRIMARY KEY,
        name VARCHAR(255) {_TEXT},
        password_hash VARBINARY(512) NOT NULL,
        banned TINYINT NOT NULL DEFAULT 0,
        {_bucket("id")},
        KEY by_bucket (bucket)
    ) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS names (
        folded_name VARBINARY(2048) NOT NULL PRIMARY KEY COMMENT '32 characters may unfold to 18 each',
        user {_ID},
        {_bucket("folded_name")},
        KEY by_bucket (bucket)
    ) {_OPTIONS} COMMENT 'an account exists once its name is here'""",
    f"""CREATE TABLE IF NOT EXISTS user_rooms (
        user {_ID},
        room {_ID},
        touched BIGINT NOT NULL COMMENT 'milliseconds UTC',
        PRIMARY KEY (user, room)
    ) {_OPTIONS} COMMENT 'where the user may be a member: never too few, perhaps too many'""",
    f"""CREATE TABLE IF NOT EXISTS heartbeat (
        only TINYINT NOT NULL PRIMARY KEY,
        ts BIGINT NOT NULL COMMENT 'milliseconds UTC of the primary'
    ) {_OPTIONS}""",
    "INSERT INTO heartbeat (only, ts) SELECT 1, 0 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM heartbeat)",
)

_V2 = (
    "ALTER TABLE users ADD COLUMN admin TINYINT NOT NULL DEFAULT 0",
    """ALTER TABLE rooms
        ADD COLUMN lower_name VARBINARY(1020) AS (LOWER(name)) STORED COMMENT 'to search by',
        ADD KEY by_name (lower_name, id)""",
)

_V3 = (
    "ALTER TABLE rooms ADD COLUMN archived BIGINT UNSIGNED NOT NULL DEFAULT 0"
    " COMMENT 'seq of the newest message that is in the archive and no longer in messages'",
    f"""CREATE TABLE IF NOT EXISTS archive_parts (
        room {_ID},
        first_seq BIGINT UNSIGNED NOT NULL,
        last_seq BIGINT UNSIGNED NOT NULL,
        first_row INT UNSIGNED NOT NULL COMMENT 'of first_seq in the segment',
        segment {_ID},
        segment_bytes BIGINT UNSIGNED NOT NULL,
        footer_bytes INT UNSIGNED NOT NULL,
        footer_sha256 BINARY(32) NOT NULL,
        quarantined TINYINT NOT NULL DEFAULT 0,
        PRIMARY KEY (room, first_seq),
        KEY by_segment (segment)
    ) {_OPTIONS} COMMENT 'where messages 1 to rooms.archived are'""",
    f"""CREATE TABLE IF NOT EXISTS archive_keys (
        room {_ID},
        digest BINARY(16) NOT NULL COMMENT 'of user and key',
        seq BIGINT UNSIGNED NOT NULL,
        ts BIGINT NOT NULL,
        PRIMARY KEY (room, digest)
    ) {_OPTIONS} COMMENT 'what a retry of an archived message is answered'""",
    f"""CREATE TABLE IF NOT EXISTS archive_changes (
        room {_ID},
        seq BIGINT UNSIGNED NOT NULL,
        body BLOB NOT NULL,
        revision INT UNSIGNED NOT NULL,
        deleted TINYINT NOT NULL,
        PRIMARY KEY (room, seq)
    ) {_OPTIONS} COMMENT 'archived messages that were edited or deleted since'""",
    f"""CREATE TABLE IF NOT EXISTS archive_work (
        segment {_ID} PRIMARY KEY,
        segment_bytes BIGINT UNSIGNED NOT NULL,
        footer_bytes INT UNSIGNED NOT NULL,
        footer_sha256 BINARY(32) NOT NULL,
        state {_ROLE},
        at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) {_OPTIONS} COMMENT 'segments whose messages are still on their way'""",
)

_V4 = (
    """ALTER TABLE bucket_map
        ADD COLUMN term BIGINT UNSIGNED NOT NULL DEFAULT 1 COMMENT 'one more with each move',
        ADD COLUMN stage VARBINARY(16) NOT NULL DEFAULT '' COMMENT 'of a move, else empty',
        ADD COLUMN peer VARBINARY(32) NOT NULL DEFAULT '' COMMENT 'the other shard of the move',
        ADD COLUMN mover VARBINARY(32) NOT NULL DEFAULT '' COMMENT 'the run that works on it',
        ADD COLUMN copied BLOB NULL COMMENT 'how far a copy has come: table, key'""",
    f"""CREATE TABLE IF NOT EXISTS bucket_changes (
        kind VARBINARY(8) NOT NULL,
        bucket SMALLINT UNSIGNED NOT NULL,
        `table` VARBINARY(32) NOT NULL,
        root VARBINARY(2048) NOT NULL COMMENT 'id of a room or user, or folded name',
        item VARBINARY(32) NOT NULL COMMENT 'the rest of the key of the row; empty for the root itself',
        times BIGINT UNSIGNED NOT NULL DEFAULT 1,
        PRIMARY KEY (kind, bucket, `table`, root, item)
    ) {_OPTIONS} COMMENT 'rows of buckets on the move that were written after they may have been copied'""",
)

_V5 = (
    "ALTER TABLE map_version ADD COLUMN generation BIGINT UNSIGNED NOT NULL DEFAULT 0"
    " COMMENT 'of the primary: one more with each promotion'",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1, _V2, _V3, _V4, _V5)

VERSION_TABLE = f"""CREATE TABLE IF NOT EXISTS migrations (
    number INT UNSIGNED NOT NULL PRIMARY KEY,
    at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) {_OPTIONS}"""
