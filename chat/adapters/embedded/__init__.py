"""The ports in one process: SQLite for what must last, memory for the rest."""
