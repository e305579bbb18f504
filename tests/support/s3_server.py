"""A stand-in for S3: moto's server, a process on a free port of 127.0.0.1 with an empty bucket."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.processes import die_with_parent, free_port

BUCKET = "bucket"
START_SECONDS = 60.0


class S3Server:
    """`location` is where an archive can be; `environment` is what a client of it needs."""

    def __init__(self) -> None:
        self.location = f"s3://{BUCKET}/some/prefix"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Returns when it answers. It keeps nothing over a restart."""
        for _ in range(5):  # somebody else may take the port before we do
            self._port = self._port or free_port()
            program = "from moto.server import main; main()"
            command = [sys.executable, "-c", program, "-H", "127.0.0.1", "-p", str(self._port)]
            # Without a warning of its libraries, and without a line for each request.
            self._process = subprocess.Popen(
                command, preexec_fn=die_with_parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if self._answers():
                return
            self.kill()
            self._port = 0
        raise AssertionError("the stand-in for S3 did not start")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            with contextlib.suppress(OSError):
                request = urllib.request.Request(f"http://127.0.0.1:{self._port}/{BUCKET}", method="PUT")
                with urllib.request.urlopen(request, timeout=START_SECONDS):
                    return True
            time.sleep(0.05)
        return False


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """The server, whose address is in the environment of this process while the block lasts."""
    pytest.importorskip("moto", exc_type=ImportError)
    server = S3Server()
    try:
        server.start()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environment.items():
                patch.setenv(name, value)
            yield server
    finally:
        server.kill()
