"""The cold archive: old messages in compressed, checksummed segments on a disk or in an object store."""
