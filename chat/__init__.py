"""The chat application on top of `gateway_core`: accounts, rooms, messages, presence."""
