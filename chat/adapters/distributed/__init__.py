"""The ports for many nodes: Redis for what may be lost, sharded MySQL for what must last."""
