"""What can be wrong with the servers when a node starts."""


class ShardsUnusable(Exception):
    """The shards cannot be used as they are; the message says why, in words for who runs them."""
