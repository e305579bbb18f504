"""Starlette on uvicorn, with uvloop, httptools and the newest of its WebSocket protocols."""

import uvicorn
from common import BACKLOG, Sink, arguments, bound_socket, listening
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

options = arguments()
connections: set[WebSocket] = set()
sink = Sink()


async def endpoint(connection: WebSocket) -> None:
    await connection.accept()
    connections.add(connection)
    try:
        while True:
            message = await connection.receive_bytes()
            if options.mode == "broadcast":
                for other in list(connections):
                    await other.send_bytes(message)
            elif options.mode == "echo":
                await connection.send_bytes(message)
            elif (answer := sink.answer(message)) is not None:
                await connection.send_bytes(answer)
    except WebSocketDisconnect:
        pass
    finally:
        connections.discard(connection)


app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
config = uvicorn.Config(
    app,
    loop="uvloop",
    http="httptools",
    ws="websockets-sansio",
    ws_per_message_deflate=options.deflate,
    log_level="error",
    backlog=BACKLOG,
)
listener = bound_socket()
listening(listener.getsockname()[1])
uvicorn.Server(config).run(sockets=[listener])
