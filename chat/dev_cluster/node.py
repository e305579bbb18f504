"""A node of the cluster: `chat-gateway serve` as a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .child import Child
from .ports import Ports

_LISTENING = "listening on http://"
_VARIABLES = "CHAT_GATEWAY_"
"""Settings of whoever starts the cluster are not the nodes'."""


class Node(Child):
    """Listens for clients and, at `admin_port`, for who collects metrics."""

    def __init__(self, name: str, directory: Path, log: Path, config: Path, flags: Sequence[str], ports: Ports) -> None:
        super().__init__(name, directory, log=log)
        self.port = ports.take()
        self.admin_port = ports.take()
        self._config = config
        self._flags = flags
        self._told = 0

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def metrics_url(self) -> str:
        """For Prometheus."""
        return f"http://127.0.0.1:{self.admin_port}/metrics"

    def start(self) -> None:
        """Begins to start it."""
        own = {
            "--config": self._config,
            "--node": self.name,
            "--host": "127.0.0.1",
            "--port": self.port,
            "--advertise": f"ws://127.0.0.1:{self.port}",
            "--admin-port": self.admin_port,
        }
        words = [str(word) for option in own.items() for word in option]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_VARIABLES)}
        self._told = len(self.log)
        self.launch([sys.executable, "-m", "chat.cli", "serve", *words, *self._flags], environment)

    def until_ready(self) -> None:
        """Returns when it listens. Raises: ClusterFailed."""
        self.wait_until(lambda: _LISTENING in self.log[self._told :])
