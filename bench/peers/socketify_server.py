"""socketify: uWebSockets (C++) with its own topics."""

from common import Sink, arguments, free_port, listening
from socketify import App, AppListenOptions, CompressOptions, OpCode

options = arguments()
sink = Sink()


def opened(connection):  # type: ignore[no-untyped-def]
    if options.mode == "broadcast":
        connection.subscribe("all")


def message(connection, payload, opcode):  # type: ignore[no-untyped-def]
    if options.mode == "broadcast":
        app.publish("all", payload, OpCode.BINARY, options.deflate)
    elif options.mode == "echo":
        connection.send(payload, OpCode.BINARY, options.deflate)
    elif (answer := sink.answer(payload)) is not None:
        connection.send(answer, OpCode.BINARY)


app = App()
app.ws(
    "/*",
    {
        "compression": CompressOptions.SHARED_COMPRESSOR if options.deflate else CompressOptions.DISABLED,
        "max_backpressure": 0,
        "idle_timeout": 0,
        "open": opened,
        "message": message,
    },
)
app.listen(AppListenOptions(port=free_port(), host="127.0.0.1"), lambda config: listening(config.port))
app.run()
