"""The Rust engine: reactors and their caller's side. `gateway_core.native` drives it from trio.

`tests/unit/gateway_core/test_native_stub.py` holds this page against the built module.
"""

from typing import final

from .config import GatewayConfig
from .gateway import Event, GatewayStats, Payload

@final
class NativeGateway:
    """Listening reactors. Commands mean what they mean in `gateway_core.Gateway`.

    Commands wait until `flush`, `take_events`, or until there are many: each batch wakes a reactor once.
    One thread at a time may call it; only `shut_down` may come from another.
    """

    def __new__(cls, config: GatewayConfig, ip: str, port: int) -> NativeGateway:
        """Listens on an IP address and starts the threads. Raises: AddressUnavailable."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""

    def fileno(self) -> int:
        """A descriptor that is readable while events wait; it lives as long as this object."""

    def take_events(self, max: int) -> list[Event]:
        """At most `max` events, oldest first; empty if none waits. Flushes the commands first.

        Raises: GatewayError if no event is left and a reactor has died.
        """

    def flush(self) -> None:
        """Hands over the commands that wait. Never blocks."""

    def accept(self, connection: int, subprotocol: str | None, encoding: str) -> bool: ...
    def reject(self, connection: int, status: int, headers: list[tuple[str, str]], body: bytes) -> bool: ...
    def send(self, connection: int, payload: Payload) -> bool: ...
    def close(self, connection: int, code: int, reason: str) -> bool: ...
    def subscribe(self, connection: int, topic: str) -> bool: ...
    def unsubscribe(self, connection: int, topic: str) -> bool: ...
    def publish(self, topic: str, variants: dict[str, Payload], position: int | None, exclude: list[int]) -> None: ...
    def stats(self) -> GatewayStats: ...
    def drain(self, code: int, reason: str, seconds: float) -> None:
        """Stops accepting and begins to close all connections. Returns at once."""

    def stop_draining(self) -> None:
        """Ends the closing; the listener stays closed."""

    def is_drained(self) -> bool:
        """Whether the last connection is gone, and `take_events` has come to that."""

    def shut_down(self) -> None:
        """Closes every connection with 1001, ends the threads and joins them: about a second at most.

        Blocks without the GIL. A second call returns at once.
        """
