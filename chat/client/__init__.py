"""The Python client, on trio."""
