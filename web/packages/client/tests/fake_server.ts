/** A server of the protocol in memory: as strict about order as the real one, and able to fail on demand. */

import type { SocketLike } from "../src/connection.ts";
import type { Member, RoomKind } from "../src/http.ts";
import type { Role, WireMap } from "../src/protocol.ts";

interface Stored extends WireMap {
  seq: number;
  user: string;
  key: string;
}

export class FakeRoom {
  epoch = "e1";
  messages: Stored[] = [];
  members: Member[] = [];
  present = new Map<string, string>();
  /** Where u1 is mentioned. */
  mentions: number[] = [];

  constructor(
    readonly id: string,
    readonly kind: RoomKind = "public",
  ) {}

  get top(): number {
    return this.messages.length;
  }
}

const MAX_RECOVERY = 5;

export class FakeServer {
  readonly rooms = new Map<string, FakeRoom>();
  readonly sockets = new Set<FakeSocket>();
  /** Answers to an op that is refused, each once. */
  readonly refusals: { op: string; err: WireMap }[] = [];
  /** Every command that came, in order. */
  readonly commands: WireMap[] = [];
  /** Seconds that tokens live; a token that is not the last one is refused. */
  tokenSeconds = 900;
  isSignedIn = true;
  isAway = false;
  /** How often the list of rooms was read. */
  lists = 0;
  /** The hosts of the nodes that clients are sent to, one after the other; the last one stays. */
  nodes = ["node"];
  /** Hosts at which no socket can be opened: what they do instead. */
  readonly unreachable = new Map<string, "refuses" | "is silent">();
  /** What was shown by those who asked for a node. */
  readonly resumes: (string | null)[] = [];
  /** The hosts at which sockets were tried. */
  readonly tried: string[] = [];
  /** Publishes are stored, but their answers are lost with the connection. */
  dropsAnswers = false;
  #tokens = 0;
  #time = 1_000;

  room(id = "r1", kind: RoomKind = "public"): FakeRoom {
    const room = new FakeRoom(id, kind);
    for (const [user, name, role] of [
      ["u1", "Ada", "owner"],
      ["u2", "Bob", "member"],
    ] as const) {
      room.members.push({ id: user, name, role, read_seq: 0 });
    }
    this.rooms.set(id, room);
    return room;
  }

  get socket(): new (
    url: string,
  ) => SocketLike {
    const server = this;
    return class extends FakeSocket {
      constructor(url: string) {
        const { host } = new URL(url);
        server.tried.push(host);
        super(server, server.isAway ? "refuses" : server.unreachable.get(host));
      }
    };
  }

  readonly fetch = async (address: string, { method = "GET" }: RequestInit = {}): Promise<Response> => {
    if (this.isAway) throw new TypeError("away");
    if (!this.isSignedIn) {
      const error = { code: "unauthenticated", message: "the session is over", retryable: false };
      return Response.json({ error }, { status: 401 });
    }
    const { pathname, searchParams } = new URL(address);
    if (pathname === "/api/token" || pathname === "/api/login") {
      this.#tokens += 1;
      const user = { id: "u1", name: "Ada" };
      return Response.json({ access_token: this.token, expires_in: this.tokenSeconds, user });
    }
    if (pathname === "/api/logout") return new Response(null, { status: 204 });
    if (pathname === "/api/connect") return Response.json(this.#route(searchParams.get("resume")));
    const members = /^\/api\/rooms\/(\w+)\/members$/.exec(pathname)?.[1];
    if (members) return Response.json({ members: this.rooms.get(members)?.members });
    if (pathname === "/api/rooms" && method === "GET") {
      this.lists += 1;
      return Response.json({ rooms: this.#summaries() });
    }
    throw new Error(`unexpected ${method} ${address}`);
  };

  get token(): string {
    return `token-${this.#tokens}`;
  }

  /** A resume token is as good as the access token that it was given for. */
  #route(resume: string | null): WireMap {
    this.resumes.push(resume);
    const host = this.nodes.length > 1 ? this.nodes.shift() : this.nodes[0];
    const url = `ws://${host}/ws`;
    return { url, node: host, resume: `${this.token} at ${host}`, expires_in: this.tokenSeconds };
  }

  post(room: FakeRoom, user: string, key: string, body: WireMap): Stored {
    const name = user === "u1" ? "Ada" : "Bob";
    const message = { seq: room.top + 1, ts: ++this.#time, user, name, key, body };
    room.messages.push(message);
    if (user !== "u1" && /@\[?ada\b/i.test(String(body.text))) room.mentions.push(message.seq);
    this.push(room, { push: "message", epoch: room.epoch, ...message });
    return message;
  }

  /** A new body, or none: deleted. */
  change(room: FakeRoom, seq: number, body?: WireMap): void {
    const old = room.messages[seq - 1];
    if (!old || old.deleted) return;
    const revision = ((old.revision as number | undefined) ?? 0) + 1;
    const deleted = body ? {} : { deleted: true };
    if (!body) room.mentions = room.mentions.filter((mention) => mention !== seq);
    room.messages[seq - 1] = { ...old, revision, body: body ?? {}, ...deleted };
    const push = { epoch: room.epoch, seq, revision, user: old.user };
    this.push(room, body ? { push: "edited", ...push, body } : { push: "deleted", ...push });
  }

  push(room: FakeRoom, push: WireMap): void {
    for (const socket of this.sockets) if (socket.rooms.has(room.id)) socket.tell({ room: room.id, ...push });
  }

  /** A push for whoever is connected. */
  tell(push: WireMap): void {
    for (const socket of this.sockets) socket.tell(push);
  }

  /** Every connection ends. */
  disconnect(code = 1006): void {
    for (const socket of [...this.sockets]) socket.end(code);
  }

  carryOut(socket: FakeSocket, command: WireMap): WireMap {
    this.commands.push(command);
    const refused = this.refusals.findIndex(({ op }) => op === command.op);
    if (refused >= 0) return { err: this.refusals.splice(refused, 1)[0]?.err };
    if (command.op === "hello" || command.op === "refresh") {
      if (String(command.token).split(" at ")[0] !== this.token) return refusal("unauthenticated");
      const limits = { max_body_bytes: 16384 };
      const hello = {
        user: { id: "u1", name: "Ada" },
        session: "s",
        node: "n",
        limits,
        heartbeat_seconds: 25,
      };
      return { ok: { ...hello, expires_in: this.tokenSeconds } };
    }
    if (command.op === "ping") return { ok: {} };
    const room = this.rooms.get(command.room as string);
    if (!room) return refusal("not_found");
    return this.#inRoom(socket, room, command);
  }

  #inRoom(socket: FakeSocket, room: FakeRoom, command: WireMap): WireMap {
    const seq = command.seq as number;
    switch (command.op) {
      case "join":
        return this.#join(socket, room, command.since as { epoch: string; seq: number } | undefined);
      case "publish":
        return this.#publish(room, command.key as string, command.body as WireMap);
      case "history":
        return { ok: { epoch: room.epoch, ...page(room, command) } };
      case "leave":
        socket.rooms.delete(room.id);
        return { ok: {} };
      case "edit":
      case "delete":
        this.change(room, seq, command.body as WireMap | undefined);
        return { ok: { seq, revision: room.messages[seq - 1]?.revision } };
      case "read": {
        const me = room.members.find(({ id }) => id === "u1");
        if (me) me.read_seq = Math.max(me.read_seq, seq);
        this.push(room, { push: "read", user: "u1", seq: me?.read_seq });
        return { ok: { seq: me?.read_seq } };
      }
      case "presence": {
        const users = [...room.present].map(([id, name]) => ({ id, name }));
        return { ok: { online: users.length, users } };
      }
      default:
        return { ok: {} };
    }
  }

  #join(socket: FakeSocket, room: FakeRoom, since: { epoch: string; seq: number } | undefined): WireMap {
    const missed = since ? room.top - since.seq : -1;
    const recovered = since?.epoch === room.epoch && missed >= 0 && missed <= MAX_RECOVERY;
    const seq = recovered ? (since?.seq as number) : room.top;
    socket.rooms.add(room.id);
    const role = room.members.find(({ id }) => id === "u1")?.role as Role;
    const common = { epoch: room.epoch, top: room.top, members_online: room.present.size, role };
    if (recovered) {
      for (const message of room.messages.slice(seq)) {
        socket.tellLater({ push: "message", room: room.id, epoch: room.epoch, ...message });
      }
    }
    return { ok: { ...common, seq, recovered } };
  }

  #publish(room: FakeRoom, key: string, body: WireMap): WireMap {
    const known = room.messages.find((message) => message.user === "u1" && message.key === key);
    const { seq, ts } = known ?? this.post(room, "u1", key, body);
    return { ok: { epoch: room.epoch, seq, ts, ...(known ? { duplicate: true } : {}) } };
  }

  #summaries(): WireMap[] {
    return [...this.rooms.values()].map((room) => {
      const me = room.members.find(({ id }) => id === "u1");
      const read_seq = me?.read_seq ?? 0;
      const { id, kind, top } = room;
      return {
        id,
        kind,
        name: id,
        title: id,
        role: me?.role,
        top_seq: top,
        read_seq,
        unread: top - read_seq,
        mentions: room.mentions.filter((seq) => seq > read_seq && seq <= top),
      };
    });
  }
}

function page(room: FakeRoom, { before, after, limit = 50 }: WireMap): WireMap {
  const size = limit as number;
  if (typeof after === "number") {
    const found = room.messages.slice(after);
    return { messages: found.slice(0, size), more: found.length > size };
  }
  const found = typeof before === "number" ? room.messages.slice(0, before - 1) : room.messages;
  return { messages: found.slice(-size), more: found.length > size };
}

function refusal(code: string): WireMap {
  return { err: { code, message: code, retryable: false } };
}

class FakeSocket implements SocketLike {
  binaryType = "";
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly rooms = new Set<string>();
  /** Hears nothing any more, and is not told so. */
  isDead = false;
  readonly #server: FakeServer;
  #later: WireMap[] = [];

  constructor(server: FakeServer, failure: "refuses" | "is silent" | undefined) {
    this.#server = server;
    if (failure === "is silent") return;
    setTimeout(() => (failure ? this.end(1006) : this.#open()), 1);
  }

  send(data: string | Uint8Array): void {
    const value: unknown = JSON.parse(data as string);
    for (const command of (Array.isArray(value) ? value : [value]) as WireMap[]) {
      // Carried out at once, answered a little later: pushes come between, as from a real node.
      setTimeout(() => this.#carryOut(command), 1);
    }
  }

  close(code = 1005): void {
    this.end(code);
  }

  tell(map: WireMap): void {
    setTimeout(() => this.#deliver(map), 2);
  }

  tellLater(map: WireMap): void {
    this.#later.push(map);
  }

  end(code: number): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.#server.sockets.delete(this);
    (this.onclose as ((event: unknown) => void) | null)?.({ code, reason: "" });
  }

  #open(): void {
    this.readyState = 1;
    this.#server.sockets.add(this);
    (this.onopen as ((event: unknown) => void) | null)?.({});
  }

  #carryOut(command: WireMap): void {
    if (this.readyState !== 1 || this.isDead) return;
    const answer = this.#server.carryOut(this, command);
    if (command.op === "publish" && this.#server.dropsAnswers) {
      this.end(1006);
      return;
    }
    this.tell({ re: command.id, ...answer });
    for (const map of this.#later) this.tell(map);
    this.#later = [];
  }

  #deliver(map: WireMap): void {
    if (this.readyState === 1 && !this.isDead) {
      (this.onmessage as ((event: unknown) => void) | null)?.({ data: JSON.stringify(map) });
    }
  }
}
