"""picows on asyncio, or on uvloop."""

import asyncio

import uvloop
from common import BACKLOG, HOST, Sink, arguments, listening
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

options = arguments()
transports: set[WSTransport] = set()
sink = Sink()


class Listener(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        transports.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        transports.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type != WSMsgType.BINARY:
            return
        elif options.mode == "broadcast":
            message = frame.get_payload_as_bytes()
            for other in transports:
                other.send(WSMsgType.BINARY, message)
        elif options.mode == "echo":
            transport.send(frame.msg_type, frame.get_payload_as_bytes())
        elif (answer := sink.answer(frame.get_payload_as_bytes())) is not None:
            transport.send(WSMsgType.BINARY, answer)


def accept(request: WSUpgradeRequest) -> WSListener:
    return Listener()


async def main() -> None:
    server = await ws_create_server(accept, HOST, 0, backlog=BACKLOG)
    listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


(uvloop.run if options.uvloop else asyncio.run)(main())
