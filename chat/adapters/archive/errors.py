"""What can be wrong with an archive."""


class ArchiveUnusable(ValueError):
    """The archive cannot be used as it is configured; the message says why, in words for who runs it."""


class Damaged(Exception):
    """Bytes of a segment are missing or not those that were written; the message says which."""
