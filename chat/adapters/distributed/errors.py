"""What can be wrong with the servers when a node starts, or with a move."""


class ShardsUnusable(Exception):
    """The shards cannot be used as they are; the message says why, in words for who runs them."""


class MoveFailed(Exception):
    """A bucket cannot be moved for now; the message says why, in words for who moves it. Nothing is lost."""
