/** Client of chat-gateway. `ChatClient` is where to begin; a `Room` and its `state` are what one shows. */

export { cbor } from "./cbor.ts";
export { ChatClient, type ClientOptions, type ClientState, type Status } from "./client.ts";
export type { Codec } from "./codec.ts";
export type { SocketClass, SocketLike } from "./connection.ts";
export { ConnectionLost, Refused } from "./errors.ts";
export {
  type Account,
  HttpApi,
  type Member,
  type RoomInfo,
  type RoomKind,
  type RoomSummary,
} from "./http.ts";
export { json } from "./json.ts";
export { foldName, mentionOf, mentionsIn } from "./mentions.ts";
export { Outbox, type OutboxStorage, type Pending, type StoredMessage } from "./outbox.ts";
export { known, type People } from "./people.ts";
export type { Body, Message, Role, RoomId, User, UserId } from "./protocol.ts";
export { Room, type RoomState } from "./room.ts";
export { Store } from "./signal.ts";
export { IndexedDbStorage, MemoryStorage } from "./storage.ts";
export { indexOf, type Timeline } from "./timeline.ts";
