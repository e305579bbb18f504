"""A node of the cluster: `chat-gateway serve` as a process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .child import Child

_LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
_VARIABLES = "CHAT_GATEWAY_"
"""Settings of whoever starts the cluster are not the nodes'."""


class Node(Child):
    """Listens on a free port, and on the same one when it is started again."""

    def __init__(self, name: str, directory: Path, log: Path, config: Path, flags: Sequence[str]) -> None:
        super().__init__(name, directory, log=log)
        self.port = 0
        self._config = config
        self._flags = flags

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begins to start it."""
        own = ["--config", str(self._config), "--node", self.name, "--host", "127.0.0.1", "--port", str(self.port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_VARIABLES)}
        self._told = len(self.log)
        self.launch([sys.executable, "-m", "chat.cli", "serve", *own, *self._flags], environment)

    def until_ready(self) -> None:
        """Returns when it listens. Raises: ClusterFailed."""
        self.wait_until(self._listens)

    def _listens(self) -> bool:
        found = _LISTENING.search(self.log, self._told)
        if found is not None:
            self.port = int(found[1])
        return found is not None
