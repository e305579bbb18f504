"""aiohttp on uvloop."""

import asyncio

import uvloop
from aiohttp import WSMsgType, web
from common import Sink, arguments, bound_socket, listening

options = arguments()
connections: set[web.WebSocketResponse] = set()
sink = Sink()


async def handler(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse(compress=options.deflate)
    await connection.prepare(request)
    connections.add(connection)
    try:
        async for message in connection:
            if message.type is not WSMsgType.BINARY:
                continue
            if options.mode == "broadcast":
                for other in list(connections):
                    await other.send_bytes(message.data)
            elif options.mode == "echo":
                await connection.send_bytes(message.data)
            elif (answer := sink.answer(message.data)) is not None:
                await connection.send_bytes(answer)
    finally:
        connections.discard(connection)
    return connection


async def main() -> None:
    app = web.Application()
    app.router.add_get("/ws", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = bound_socket()
    await web.SockSite(runner, listener).start()
    listening(listener.getsockname()[1])
    await asyncio.get_running_loop().create_future()


uvloop.run(main())
