// Node and ws.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const [mode, ...flags] = process.argv.slice(2);
const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: flags.includes("--deflate") });
let count = 0;

sockets.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (message) => {
    if (mode === "broadcast") {
      for (const other of sockets.clients) other.send(message, { binary: true });
    } else if (mode === "echo") {
      socket.send(message, { binary: true });
    } else if (message.length === 1 && message[0] === 0x3f) {
      socket.send(Buffer.from(String(count)), { binary: true });
    } else {
      count += 1;
    }
  });
});

server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
