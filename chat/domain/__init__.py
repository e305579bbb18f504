"""Values and rules of chat: standard library only, no I/O."""
