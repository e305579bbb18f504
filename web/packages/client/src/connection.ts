/** One connection's life: handshake, hello, then commands out, answers and pushes in, until it ends. */

import { type Codec, readFrame } from "./codec.ts";
import { ConnectionLost, Refused } from "./errors.ts";
import {
  type Hello,
  ProtocolViolation,
  type Push,
  parseExpiry,
  parseHello,
  parsePush,
  type WireMap,
} from "./protocol.ts";

const CONNECT_MS = 15_000;
const ANSWER_MS = 15_000;
/** The same, where there is a reason to doubt that anybody is there. */
const DOUBTED_ANSWER_MS = 3_000;
/** The longest silence before a ping; what lies between us and the server may forget quiet connections. */
const MAX_SILENCE_MS = 20_000;
const MAX_BATCH = 64;

/** What we need of a WebSocket; browsers' and the package `ws` have it. */
export interface SocketLike {
  binaryType: string;
  readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type SocketClass = new (url: string, protocols: string[]) => SocketLike;

export interface ConnectionOptions {
  url: string;
  codec: Codec;
  socket: SocketClass;
  /** A valid access token; a fresh one if `renew`. */
  token(renew: boolean): Promise<string>;
  onPush(push: Push): void;
}

/** How it ended. 1006 stands for every end without a close frame. */
export interface Ended {
  code: number;
  reason: string;
}

interface Waiting {
  resolve(ok: WireMap): void;
  reject(error: Error): void;
  timer: ReturnType<typeof setTimeout>;
}

export class Connection {
  /** Settles once, when nothing more will come. */
  readonly ended: Promise<Ended>;
  #end!: (ended: Ended) => void;
  #over = false;
  readonly #options: ConnectionOptions;
  readonly #socket: SocketLike;
  readonly #waiting = new Map<number, Waiting>();
  #unsent: WireMap[] = [];
  #lastId = 0;
  #silenceMs = MAX_SILENCE_MS;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #refresh: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#socket = new options.socket(options.url, [options.codec.subprotocol]);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = (event: { data: unknown }) => this.#receive(event.data);
    this.#socket.onclose = (event: { code: number; reason: string }) =>
      this.#finish(event.code, event.reason);
    this.#socket.onerror = () => {};
  }

  /** Opens, shows the token, says hello. Throws: Refused, ConnectionLost. */
  async open(token: string, withinMs = CONNECT_MS): Promise<Hello> {
    const deadline = setTimeout(() => this.#abandon("the server did not answer in time"), withinMs);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#socket.onopen = () => resolve();
        void this.ended.then(({ reason }) => reject(new ConnectionLost(reason || "no connection")));
      });
      const hello = parseHello(await this.ask("hello", { token }));
      this.#silenceMs = Math.min(MAX_SILENCE_MS, hello.heartbeatSeconds * 1000);
      this.#listen();
      this.#refreshLater(hello.expiresIn);
      return hello;
    } finally {
      clearTimeout(deadline);
    }
  }

  /**
   * Sends a command and waits for its answer; what is asked in one turn of the event loop goes in one frame.
   * Throws: Refused; ConnectionLost if the connection ends first, or no answer comes within 15 s.
   */
  ask(op: string, fields: WireMap = {}, withinMs = ANSWER_MS): Promise<WireMap> {
    return new Promise((resolve, reject) => {
      if (this.#over) {
        reject(new ConnectionLost("the connection has ended"));
        return;
      }
      const id = ++this.#lastId;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new ConnectionLost(`no answer to ${op} in time`));
      }, withinMs);
      this.#waiting.set(id, { resolve, reject, timer });
      if (this.#unsent.push({ id, op, ...fields }) === 1) queueMicrotask(() => this.#flush());
    });
  }

  /** Finds out now whether the server is still there; ends the connection if it is not. */
  probe(isDoubted = false): void {
    if (this.#over) return;
    this.ask("ping", {}, isDoubted ? DOUBTED_ANSWER_MS : ANSWER_MS).catch((error) => {
      if (error instanceof ConnectionLost) this.#abandon("the server does not answer");
    });
  }

  /** Ends it on purpose. */
  close(): void {
    this.#socket.close(1000);
    this.#finish(1000, "closed");
  }

  #flush(): void {
    const commands = this.#unsent;
    this.#unsent = [];
    if (this.#over || this.#socket.readyState !== 1) return;
    for (let start = 0; start < commands.length; start += MAX_BATCH) {
      const batch = commands.slice(start, start + MAX_BATCH);
      this.#send(batch);
    }
  }

  /** Several commands share a frame only while they are short: a frame has a limit, too. */
  #send(batch: WireMap[]): void {
    const { codec } = this.#options;
    const short = batch.every((command) => command.op !== "publish" && command.op !== "edit");
    for (const value of short && batch.length > 1 ? [batch] : batch) this.#socket.send(codec.encode(value));
  }

  #receive(data: unknown): void {
    if (this.#over) return;
    this.#listen();
    try {
      for (const map of readFrame(this.#options.codec, data)) this.#take(map);
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.#abandon(error.message);
    }
  }

  #take(map: WireMap): void {
    if (typeof map.re === "number") {
      const waiting = this.#waiting.get(map.re);
      if (!waiting) return;
      this.#waiting.delete(map.re);
      clearTimeout(waiting.timer);
      if ("err" in map) waiting.reject(Refused.parse(map.err));
      else waiting.resolve((map.ok ?? {}) as WireMap);
    } else {
      const push = parsePush(map);
      if (push) this.#options.onPush(push);
    }
  }

  /** Something was heard: the next ping is due after as long a silence again. */
  #listen(): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.probe(), this.#silenceMs);
  }

  #refreshLater(expiresIn: number | undefined): void {
    if (expiresIn === undefined || this.#over) return;
    this.#refresh = setTimeout(() => void this.#refreshNow(), Math.max(1000, expiresIn * 1000 * 0.67));
  }

  /** If it does not work the connection ends with 4501 in time, and the next one begins with a new token. */
  async #refreshNow(): Promise<void> {
    try {
      const token = await this.#options.token(true);
      this.#refreshLater(parseExpiry(await this.ask("refresh", { token })));
    } catch {
      this.#refreshLater(15);
    }
  }

  /** Ends it from our side without waiting for a close frame, which a dead network will not bring. */
  #abandon(reason: string): void {
    this.#socket.close();
    this.#finish(1006, reason);
  }

  #finish(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#watch);
    clearTimeout(this.#refresh);
    this.#end({ code, reason });
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new ConnectionLost(reason || "the connection ended"));
    }
    this.#waiting.clear();
  }
}
