"""websockets on asyncio."""

import asyncio

from common import BACKLOG, HOST, Sink, arguments, listening
from websockets.asyncio.server import ServerConnection, broadcast, serve

options = arguments()
connections: set[ServerConnection] = set()
sink = Sink()


async def handler(connection: ServerConnection) -> None:
    connections.add(connection)
    try:
        async for message in connection:
            if options.mode == "broadcast":
                broadcast(connections, message)
            elif options.mode == "echo":
                await connection.send(message)
            elif (answer := sink.answer(message)) is not None:
                await connection.send(answer)
    finally:
        connections.discard(connection)


async def main() -> None:
    compression = "deflate" if options.deflate else None
    async with serve(handler, HOST, 0, compression=compression, backlog=BACKLOG) as server:
        listening(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
