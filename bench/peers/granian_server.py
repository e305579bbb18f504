"""granian: RSGI on uvloop, one worker."""

import os
import threading
import time

from common import BACKLOG, HOST, Sink, free_port, listening

MODE = "PEER_MODE"
"""granian's worker imports this module anew, so the mode comes by the environment."""

connections: set[object] = set()
sink = Sink()


async def app(scope, protocol):  # type: ignore[no-untyped-def]
    mode = os.environ[MODE]
    connection = await protocol.accept()
    connections.add(connection)
    try:
        while True:
            message = await connection.receive()
            if message.kind == 0:
                break
            if message.kind != 1:
                continue
            if mode == "broadcast":
                for other in list(connections):
                    await other.send_bytes(message.data)
            elif mode == "echo":
                await connection.send_bytes(message.data)
            elif (answer := sink.answer(message.data)) is not None:
                await connection.send_bytes(answer)
    finally:
        connections.discard(connection)
        protocol.close()


def main() -> None:
    import socket

    from common import arguments
    from granian import Granian
    from granian.constants import Interfaces, Loops

    os.environ[MODE] = arguments().mode
    port = free_port()
    server = Granian(
        "granian_server:app",
        address=HOST,
        port=port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        workers=1,
        backlog=BACKLOG,
        websockets=True,
        log_enabled=False,
    )

    def tell() -> None:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    return listening(port)
            time.sleep(0.05)

    threading.Thread(target=tell, daemon=True).start()
    server.serve()


if __name__ == "__main__":
    main()
