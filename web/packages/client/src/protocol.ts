/** The values of the protocol, as types; `docs/protocol.md` is their manual. */

export type RoomId = string;
export type UserId = string;
export type Role = "owner" | "moderator" | "member";

/** What a sender writes: `text`, and whatever else the application wants. */
export interface Body {
  text?: string;
  [field: string]: unknown;
}

export interface User {
  id: UserId;
  name: string;
}

/** `seq` is its place: 1, 2, 3 … in its room, without a gap. `ts` is milliseconds UTC. */
export interface Message {
  seq: number;
  ts: number;
  user: UserId;
  name: string;
  key: string;
  body: Body;
  revision: number;
  deleted: boolean;
}

/** A place in a room's history. Numbers of different epochs cannot be compared. */
export interface Position {
  epoch: string;
  seq: number;
}

export interface Hello {
  user: User;
  session: string;
  node: string;
  heartbeatSeconds: number;
  /** Seconds until the access token expires; undefined if it does not. */
  expiresIn: number | undefined;
}

export interface Joined extends Position {
  top: number;
  recovered: boolean;
  membersOnline: number;
  role: Role;
}

export interface Published extends Position {
  ts: number;
  duplicate: boolean;
}

export interface Page {
  /** The life of the history that it is of; servers of the first version did not say. */
  epoch: string | undefined;
  messages: Message[];
  more: boolean;
}

export interface Online {
  online: number;
  users: User[];
}

export type RoomPush =
  | { push: "message"; room: RoomId; epoch: string; message: Message }
  | { push: "edited"; room: RoomId; epoch: string; seq: number; revision: number; body: Body }
  | { push: "deleted"; room: RoomId; epoch: string; seq: number; revision: number }
  | { push: "gap"; room: RoomId; epoch: string; from: number; to: number }
  | { push: "presence"; room: RoomId; joins: User[]; leaves: UserId[]; online: number }
  | { push: "typing"; room: RoomId; user: UserId; name: string }
  | { push: "read"; room: RoomId; user: UserId; seq: number }
  | { push: "member"; room: RoomId; user: UserId; role: Role | null }
  | { push: "removed"; room: RoomId; reason: string };

/** The user's own list of rooms has changed; a role of null: this one is not in it any more. */
export interface ListPush {
  push: "room";
  room: RoomId;
  role: Role | null;
}

export type Push = RoomPush | ListPush | { push: "bye"; reason: string; reconnectAfterMs: number };

/** A map as it is on the wire. */
export type WireMap = Record<string, unknown>;

/** The server, or something between, sent what it must not. */
export class ProtocolViolation extends Error {
  override name = "ProtocolViolation";
}

/** The push in `map`, or undefined for a kind that this client does not know. */
export function parsePush(map: WireMap): Push | undefined {
  if (map.push === "bye") {
    return { push: "bye", reason: text(map, "reason"), reconnectAfterMs: number(map, "reconnect_after_ms") };
  }
  if (typeof map.room !== "string") return undefined;
  const { room } = map;
  switch (map.push) {
    case "message":
      return { push: "message", room, epoch: text(map, "epoch"), message: parseMessage(map) };
    case "edited":
      return { push: "edited", room, ...change(map), body: parseBody(map.body) };
    case "deleted":
      return { push: "deleted", room, ...change(map) };
    case "gap":
      return {
        push: "gap",
        room,
        epoch: text(map, "epoch"),
        from: number(map, "from"),
        to: number(map, "to"),
      };
    case "presence":
      return {
        push: "presence",
        room,
        joins: users(map.joins),
        leaves: texts(map.leaves),
        online: number(map, "online"),
      };
    case "typing":
      return { push: "typing", room, user: text(map, "user"), name: text(map, "name") };
    case "read":
      return { push: "read", room, user: text(map, "user"), seq: number(map, "seq") };
    case "member":
      return {
        push: "member",
        room,
        user: text(map, "user"),
        role: map.role === null ? null : role(map.role),
      };
    case "room":
      return { push: "room", room, role: map.role === null ? null : role(map.role) };
    case "removed":
      return { push: "removed", room, reason: text(map, "reason") };
    default:
      return undefined;
  }
}

export function parseHello(map: WireMap): Hello {
  return {
    user: parseUser(map.user),
    session: text(map, "session"),
    node: text(map, "node"),
    heartbeatSeconds: number(map, "heartbeat_seconds"),
    expiresIn: parseExpiry(map),
  };
}

export function parseExpiry(map: WireMap): number | undefined {
  return typeof map.expires_in === "number" ? map.expires_in : undefined;
}

export function parseJoined(map: WireMap): Joined {
  return {
    epoch: text(map, "epoch"),
    seq: number(map, "seq"),
    top: number(map, "top"),
    recovered: map.recovered === true,
    membersOnline: number(map, "members_online"),
    role: role(map.role),
  };
}

export function parsePublished(map: WireMap): Published {
  const duplicate = map.duplicate === true;
  return { epoch: text(map, "epoch"), seq: number(map, "seq"), ts: number(map, "ts"), duplicate };
}

export function parsePage(map: WireMap): Page {
  return {
    epoch: typeof map.epoch === "string" ? map.epoch : undefined,
    messages: list(map.messages).map((item) => parseMessage(asMap(item))),
    more: map.more === true,
  };
}

export function parseOnline(map: WireMap): Online {
  return { online: number(map, "online"), users: users(map.users) };
}

export function parseMessage(map: WireMap): Message {
  return {
    seq: number(map, "seq"),
    ts: number(map, "ts"),
    user: text(map, "user"),
    name: text(map, "name"),
    key: text(map, "key"),
    body: parseBody(map.body),
    revision: typeof map.revision === "number" ? map.revision : 0,
    deleted: map.deleted === true,
  };
}

export function isMap(value: unknown): value is WireMap {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function number(map: WireMap, field: string): number {
  const value = map[field];
  if (typeof value !== "number") throw new ProtocolViolation(`${field} is no number`);
  return value;
}

export function text(map: WireMap, field: string): string {
  const value = map[field];
  if (typeof value !== "string") throw new ProtocolViolation(`${field} is no text`);
  return value;
}

function change(map: WireMap): { epoch: string; seq: number; revision: number } {
  return { epoch: text(map, "epoch"), seq: number(map, "seq"), revision: number(map, "revision") };
}

/** Bodies come from other people: `text` is a text or is not there. */
function parseBody(value: unknown): Body {
  const body = asMap(value);
  return typeof body.text === "string" || body.text === undefined
    ? (body as Body)
    : { ...body, text: String(body.text) };
}

function parseUser(value: unknown): User {
  const map = asMap(value);
  return { id: text(map, "id"), name: text(map, "name") };
}

function users(value: unknown): User[] {
  return list(value).map(parseUser);
}

function texts(value: unknown): string[] {
  return list(value).filter((item) => typeof item === "string");
}

function role(value: unknown): Role {
  return value === "owner" || value === "moderator" ? value : "member";
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new ProtocolViolation("a list was expected");
  return value;
}

function asMap(value: unknown): WireMap {
  if (!isMap(value)) throw new ProtocolViolation("a map was expected");
  return value;
}
