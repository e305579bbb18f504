/** A signed-in user's connection, rooms and outbox, kept alive until the session ends. */

import { Backoff } from "./backoff.ts";
import type { Codec } from "./codec.ts";
import { Connection, type Ended, type SocketClass } from "./connection.ts";
import { afterClose, ConnectionLost, Refused } from "./errors.ts";
import type { HttpApi } from "./http.ts";
import { json } from "./json.ts";
import { Outbox, type OutboxStorage } from "./outbox.ts";
import { type Hello, type Push, parsePublished, type RoomId, type User, type WireMap } from "./protocol.ts";
import { Room, type RoomContext } from "./room.ts";
import { Store } from "./signal.ts";
import { MemoryStorage } from "./storage.ts";
import { Way } from "./way.ts";

export type Status =
  | { phase: "connecting" }
  | { phase: "online" }
  /** No connection; the next try is at `until` (milliseconds since 1970). */
  | { phase: "waiting"; until: number }
  /** The device has no network. */
  | { phase: "offline" }
  /** For good. `failed`: this client and the server do not understand each other. */
  | { phase: "ended"; why: "signed_out" | "banned" | "failed"; message: string };

export interface ClientState {
  readonly status: Status;
  /** The user's rooms, by id. */
  readonly rooms: ReadonlyMap<RoomId, Room>;
  /** The list of rooms has been read once. */
  readonly listed: boolean;
}

export interface ClientOptions {
  /** Signed in: `api.user` is known. */
  api: HttpApi;
  /** Where the WebSocket is, `wss://…/ws`, unless the server says where it had rather have this client. */
  url: string;
  codec?: Codec;
  storage?: OutboxStorage;
  /** For Node before 22: the class of the package `ws`. */
  socket?: SocketClass;
}

/** Rooms that are kept open; of those beyond, one that is looked at is opened, and the list counts the others. */
const MAX_KEPT = 150;
/** The server tells of changes; what it told may have been lost. */
const LIST_EVERY_MS = 300_000;
/** The same, if some of the rooms are not open: nobody tells of their messages. */
const UNKEPT_EVERY_MS = 60_000;
const BURST_MS = 50;

export class ChatClient extends Store<ClientState> {
  readonly user: User;
  readonly api: HttpApi;
  readonly outbox: Outbox;
  readonly #options: ClientOptions;
  readonly #backoff = new Backoff();
  readonly #context: RoomContext;
  readonly #way: Way;
  #connection: Connection | undefined;
  #hello: Hello | undefined;
  #running = false;
  #byePause: number | undefined;
  #wake: (() => void) | undefined;
  #listTimer: ReturnType<typeof setTimeout> | undefined;
  #burstTimer: ReturnType<typeof setTimeout> | undefined;
  #listing: Promise<void> | undefined;
  #listingAgain: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    super({ status: { phase: "connecting" }, rooms: new Map(), listed: false });
    if (!options.api.user) throw new Error("sign in first");
    this.#options = options;
    this.api = options.api;
    this.user = options.api.user;
    this.#way = new Way(options.api, options.url);
    this.outbox = new Outbox(options.storage ?? new MemoryStorage());
    const ask = (op: string, fields: WireMap) => this.#ask(op, fields);
    const listAgain = () => this.#listSoon();
    this.#context = { user: this.user, api: this.api, outbox: this.outbox, ask, listAgain };
  }

  /** What the server said of itself on the present or the last connection. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  /** Connects, and stays connected until `stop` or the end of the session. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    globalThis.addEventListener?.("online", this.#networkChanged);
    globalThis.addEventListener?.("offline", this.#networkChanged);
    globalThis.addEventListener?.("focus", this.#lookedAt);
    void this.outbox.restore(this.user.id);
    void this.refreshRooms();
    void this.#run();
  }

  /** Ends everything; what is in the outbox stays there. */
  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    globalThis.removeEventListener?.("online", this.#networkChanged);
    globalThis.removeEventListener?.("offline", this.#networkChanged);
    globalThis.removeEventListener?.("focus", this.#lookedAt);
    clearTimeout(this.#listTimer);
    clearTimeout(this.#burstTimer);
    this.outbox.connected(undefined);
    this.#connection?.close();
    for (const room of this.state.rooms.values()) room.close();
    this.#wake?.();
  }

  /** Ends the session; unsent messages are forgotten. */
  async signOut(): Promise<void> {
    await this.api.signOut();
    this.outbox.clear();
    this.stop();
  }

  /** Tries to connect now, or makes sure that the connection still works. */
  hurry(): void {
    if (this.state.status.phase === "online") this.#connection?.probe(true);
    this.#wake?.();
  }

  /** Reads the list of rooms again, and opens those that are new. Calls that come together share one reading. */
  refreshRooms(): Promise<void> {
    if (!this.#listing) {
      this.#listing = this.#readRooms().finally(() => {
        this.#listing = undefined;
      });
      return this.#listing;
    }
    // An answer that is under way may be older than what the caller wants to see.
    this.#listingAgain ??= this.#listing.then(() => {
      this.#listingAgain = undefined;
      return this.refreshRooms();
    });
    return this.#listingAgain;
  }

  /** Pushes come in bursts. */
  #listSoon(): void {
    this.#burstTimer ??= setTimeout(() => {
      this.#burstTimer = undefined;
      void this.refreshRooms();
    }, BURST_MS);
  }

  async #readRooms(): Promise<void> {
    clearTimeout(this.#listTimer);
    try {
      const summaries = await this.api.rooms();
      if (!this.#running) return;
      const known = this.state.rooms;
      const rooms = new Map<RoomId, Room>();
      for (const summary of summaries) {
        const room = known.get(summary.id);
        if (room) room.listed(summary);
        rooms.set(summary.id, room ?? new Room(summary, this.#context));
      }
      for (const [id, room] of known) if (!rooms.has(id)) room.close();
      this.update({ rooms, listed: true });
      this.#keepRooms();
    } catch (error) {
      if (error instanceof Refused && error.code === "unauthenticated") this.#endSession(error.message);
    } finally {
      if (this.#running) {
        const every = this.state.rooms.size > MAX_KEPT ? UNKEPT_EVERY_MS : LIST_EVERY_MS;
        this.#listTimer = setTimeout(() => void this.refreshRooms(), every);
      }
    }
  }

  /** Direct rooms before the others: there somebody waits for this user. */
  #keepRooms(): void {
    if (this.state.status.phase !== "online") return;
    const rooms = [...this.state.rooms.values()];
    const direct = rooms.filter((room) => room.state.kind === "direct");
    const shared = rooms.filter((room) => room.state.kind !== "direct");
    [...direct, ...shared].forEach((room, index) => {
      room.keep(index < MAX_KEPT);
    });
  }

  async #run(): Promise<void> {
    while (this.#running) {
      this.#setStatus(isOffline() ? { phase: "offline" } : { phase: "connecting" });
      const started = Date.now();
      const pause = await this.#connectOnce();
      this.#backoff.lasted(Date.now() - started);
      if (!this.#running) return;
      await this.#sleep(pause);
    }
  }

  /** One connection from its beginning to its end. Milliseconds to wait before the next. */
  async #connectOnce(): Promise<number> {
    try {
      const { url, token, withinMs } = await this.#way.find();
      if (!this.#running) return 0;
      const connection = this.#connect(url);
      this.#hello = await connection.open(token, withinMs);
      this.#way.arrived();
      this.#handleOnline(connection);
      return this.#handleEnd(await connection.ended);
    } catch (error) {
      this.#connection?.close();
      this.#way.failed();
      return this.#handleFailure(error);
    } finally {
      this.#connection = undefined;
      this.outbox.connected(undefined);
      for (const room of this.state.rooms.values()) room.disconnected();
    }
  }

  #connect(url: string): Connection {
    this.#byePause = undefined;
    this.#connection = new Connection({
      url,
      codec: this.#options.codec ?? json,
      socket: this.#options.socket ?? (WebSocket as unknown as SocketClass),
      token: (renew) => this.api.token(renew),
      onPush: (push) => this.#handlePush(push),
    });
    return this.#connection;
  }

  /** Rooms first, so that the list of what was missed is under way before what waits is sent. */
  #handleOnline(connection: Connection): void {
    this.#setStatus({ phase: "online" });
    this.#keepRooms();
    void this.refreshRooms();
    this.outbox.connected(async ({ room, key, body }) =>
      parsePublished(await connection.ask("publish", { room, key, body })),
    );
  }

  async #handleEnd({ code, reason }: Ended): Promise<number> {
    switch (afterClose(code)) {
      case "signed_out":
        this.#endSession(reason);
        return 0;
      case "banned":
        this.#finish("banned", "This account is banned.");
        return 0;
      case "give_up":
        this.#finish("failed", reason);
        return 0;
      case "new_token":
        await this.api.token(true).catch((error) => this.#handleFailure(error));
        return this.#backoff.pause();
      default:
        return this.#backoff.pause(this.#byePause);
    }
  }

  async #handleFailure(error: unknown): Promise<number> {
    if (error instanceof Refused && error.code === "unauthenticated") {
      // Of a token that is refused although it should be good, the cookie decides.
      await this.api.token(true).catch((final) => {
        if (final instanceof Refused && final.code === "unauthenticated") this.#endSession(final.message);
      });
    }
    const asked = error instanceof Refused ? (error.retryAfterMs ?? 0) : 0;
    return asked + this.#backoff.pause();
  }

  #handlePush(push: Push): void {
    if (push.push === "bye") {
      this.#byePause = push.reconnectAfterMs;
      return;
    }
    if (push.push !== "room") this.state.rooms.get(push.room)?.handlePush(push);
    if (push.push === "room" || push.push === "removed") this.#listSoon();
  }

  #ask(op: string, fields: WireMap): Promise<WireMap> {
    if (this.#connection && this.state.status.phase === "online") return this.#connection.ask(op, fields);
    return Promise.reject(new ConnectionLost("there is no connection at the moment"));
  }

  #endSession(message: string): void {
    this.#finish("signed_out", message);
  }

  #finish(why: "signed_out" | "banned" | "failed", message: string): void {
    if (!this.#running) return;
    this.stop();
    this.#setStatus({ phase: "ended", why, message });
  }

  #setStatus(status: Status): void {
    this.update({ status });
  }

  /** Waits, unless somebody is in a hurry. */
  #sleep(ms: number): Promise<void> {
    this.#setStatus(isOffline() ? { phase: "offline" } : { phase: "waiting", until: Date.now() + ms });
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Somebody comes back to the page: timers may have slept, and the list be old. */
  readonly #lookedAt = (): void => {
    this.hurry();
    void this.refreshRooms();
  };

  readonly #networkChanged = (): void => {
    if (isOffline() && this.state.status.phase === "waiting") this.#setStatus({ phase: "offline" });
    this.hurry();
  };
}

function isOffline(): boolean {
  return typeof navigator !== "undefined" && navigator.onLine === false;
}
