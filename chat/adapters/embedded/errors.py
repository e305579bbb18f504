"""What can be wrong with a data directory when it is opened."""


class DatabaseUnusable(Exception):
    """The data directory cannot be used as it is; the message says why, in words for its owner."""
