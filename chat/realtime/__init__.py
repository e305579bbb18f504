"""Connections as chat sessions: codecs, commands, room feeds."""
