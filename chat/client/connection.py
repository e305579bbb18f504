"""One connection's life: token, handshake, hello; then commands out, answers and pushes in, until it ends."""

from __future__ import annotations

import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any
from urllib.parse import SplitResult

import msgspec
import trio

from ..domain.errors import ChatError, Unauthenticated
from .backoff import TokenBucket, full_jitter
from .calls import Calls
from .codec import Codec
from .config import ClientConfig
from .credentials import Credentials
from .errors import UNAUTHENTICATED, ClientError, ConnectionLost, SessionEnded, refusal
from .events import User, parse
from .socket import Socket, dial

_FRAME_HEAD_BYTES = 3
"""Of an array; each item of it costs a comma at most."""


Rate = Annotated[float, msgspec.Meta(gt=0)]


class ServerLimits(msgspec.Struct, frozen=True):
    """What of the server's limits decides how frames are made and how often; the defaults are its own."""

    max_message_bytes: int = 65_536
    max_batch: int = 256
    frames_per_second: Rate = 200.0
    frame_burst: Rate = 1_000
    bytes_per_second: Rate = 1_048_576.0
    bytes_burst: Rate = 4_194_304


class Hello(msgspec.Struct, frozen=True):
    """What the server says of itself and of us."""

    user: User
    session: str = ""
    node: str = ""
    limits: ServerLimits = ServerLimits()
    heartbeat_seconds: float = 25.0
    expires_in: float | None = None
    """Seconds until the access token expires."""


class Refreshed(msgspec.Struct, frozen=True):
    """The answer to `refresh`."""

    expires_in: float | None = None


class Connection:
    """Runs once. `deliver` gets every push, in order; answers go to `calls`."""

    def __init__(
        self,
        url: SplitResult,
        ssl_context: ssl.SSLContext | None,
        codec: Codec,
        config: ClientConfig,
        credentials: Credentials,
        calls: Calls,
    ) -> None:
        self._url = url
        self._ssl_context = ssl_context
        self._codec = codec
        self._config = config
        self._credentials = credentials
        self._calls = calls
        self._socket: Socket | None = None
        self._error: ClientError | ChatError | None = None

    async def run(self, opened: Callable[[Hello], None], deliver: Callable[[dict[str, Any]], None]) -> None:
        """Always raises: ConnectionLost if another connection may work, else what ended it for good.

        `opened` is called once, when the server knows who we are.
        """
        token = await self._credentials.token()
        try:
            stream, socket, hello = await self._open(token)
        except Unauthenticated:
            self._credentials.refused()
            raise ConnectionLost("the access token has expired") from None
        self._credentials.accepted()
        try:
            async with trio.open_nursery() as nursery:
                self._socket = socket
                self._calls.max_command_bytes = hello.limits.max_message_bytes
                for task in (
                    lambda: self._read(socket, deliver),
                    lambda: self._write(socket, hello.limits),
                    lambda: self._keep_alive(socket, hello.heartbeat_seconds),
                    lambda: self._refresh(hello.expires_in),
                ):
                    nursery.start_soon(self._guard, task, nursery.cancel_scope)
                opened(hello)
        finally:
            await trio.aclose_forcefully(stream)
        raise self._verdict()

    async def close(self) -> None:
        """Sends the close frame, if there is anybody to send it to; `run` ends with the answer to it."""
        if self._socket is not None:
            with contextlib.suppress(ConnectionLost):
                await self._socket.close()

    async def _open(self, token: str) -> tuple[trio.abc.Stream, Socket, Hello]:
        """Dials, shakes hands, says hello. Raises: Unauthenticated if the token is not accepted."""
        with trio.move_on_after(self._config.connect_seconds):
            stream = await dial(self._url, self._ssl_context)
            try:
                socket = Socket(stream, self._config.max_message_bytes)
                await socket.open(self._url.netloc.rpartition("@")[2], self._path, self._codec.subprotocol)
                return stream, socket, await self._say_hello(socket, token)
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
        raise ConnectionLost(f"no answer within {self._config.connect_seconds:g} s")

    @property
    def _path(self) -> str:
        return self._url.path.rstrip("/") + "/ws"

    async def _say_hello(self, socket: Socket, token: str) -> Hello:
        await socket.send(self._codec.frame([self._codec.encode({"id": 0, "op": "hello", "token": token})]))
        while True:
            for item in self._codec.decode(await socket.receive()):
                if item.get("re") == 0 and "ok" in item:
                    return parse(item["ok"], Hello)
                if "err" in item:
                    raise _hello_refused(refusal(item["err"]))

    async def _read(self, socket: Socket, deliver: Callable[[dict[str, Any]], None]) -> None:
        while True:
            for item in self._codec.decode(await socket.receive()):
                if "re" in item:
                    self._calls.answered(item)
                elif isinstance(item.get("push"), str):
                    deliver(item)

    async def _write(self, socket: Socket, limits: ServerLimits) -> None:
        frames, size = self._pace(limits)
        while True:
            ready = await self._calls.wait_ready()
            encoded = [self._codec.encode(request.wire) for request in ready]
            for items in pack(encoded, limits.max_message_bytes, limits.max_batch):
                payload, now = self._codec.frame(items), trio.current_time()
                if pause := max(frames.spend(1, now), size.spend(len(payload), now)):
                    await trio.sleep(pause)
                await socket.send(payload)

    def _pace(self, limits: ServerLimits) -> tuple[TokenBucket, TokenBucket]:
        """Frames and bytes: half of what the server takes, since it counts pings and retransmissions too, or less."""
        now, config = trio.current_time(), self._config
        return (
            TokenBucket(
                min(config.frames_per_second, limits.frames_per_second / 2),
                min(config.frame_burst, limits.frame_burst / 2),
                now,
            ),
            TokenBucket(
                min(config.bytes_per_second, limits.bytes_per_second / 2),
                min(config.bytes_burst, limits.bytes_burst / 2),
                now,
            ),
        )

    async def _keep_alive(self, socket: Socket, heartbeat: float) -> None:
        """Pings a silent server, and gives up on one that stays silent."""
        silence = max(1.0, min(heartbeat, self._config.ping_seconds))
        while True:
            await trio.sleep_until(socket.last_received + silence)
            asked = trio.current_time()
            if asked < socket.last_received + silence:
                continue
            with trio.move_on_after(self._config.pong_seconds) as stuck:
                await socket.ping()
            await trio.sleep_until(asked + self._config.pong_seconds)
            if stuck.cancelled_caught or socket.last_received < asked:
                silent = trio.current_time() - socket.last_received
                raise ConnectionLost(f"nothing was heard from the server for {silent:.0f} s")

    async def _refresh(self, expires_in: float | None) -> None:
        """Gives the server a fresh token well before the present one expires, if there is a way to get one."""
        while self._credentials.renewable and expires_in is not None:
            await trio.sleep(max(1.0, expires_in * random.uniform(0.7, 0.8)))  # noqa: S311
            token = await self._renewed_token()
            try:
                answer = await self._calls.ask_once("refresh", {"token": token})
            except ChatError as error:
                raise ConnectionLost(f"the server refused a fresh token: {error}") from None
            expires_in = parse(answer, Refreshed).expires_in

    async def _renewed_token(self) -> str:
        attempt = 0
        while True:
            try:
                return await self._credentials.renew()
            except ConnectionLost as error:
                await trio.sleep(error.retry_after or full_jitter(attempt))
                attempt += 1

    async def _guard(self, task: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        """Keeps the first error that ends the connection; one that ends the client goes before."""
        try:
            await task()
        except (ClientError, ChatError) as error:
            if self._error is None or isinstance(self._error, ConnectionLost):
                self._error = error
            scope.cancel()

    def _verdict(self) -> ClientError | ChatError:
        error = self._error or ConnectionLost("the connection ended")
        if isinstance(error, SessionEnded) and error.code == UNAUTHENTICATED:
            try:
                self._credentials.refused()
            except Unauthenticated:
                return error
            return ConnectionLost(str(error))
        return error


def pack(items: list[bytes], max_bytes: int, max_items: int) -> Iterator[list[bytes]]:
    """`items` in batches that fit into one frame each; what does not fit at all goes alone."""
    batch: list[bytes] = []
    size = _FRAME_HEAD_BYTES
    for item in items:
        if batch and (size + len(item) + 1 > max_bytes or len(batch) >= max_items):
            yield batch
            batch, size = [], _FRAME_HEAD_BYTES
        batch.append(item)
        size += len(item) + 1
    if batch:
        yield batch


def _hello_refused(error: ChatError) -> Exception:
    """A server that cannot look just now is one to come back to."""
    return ConnectionLost(str(error), error.retry_after) if error.retryable else error
