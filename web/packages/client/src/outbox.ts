/** Messages that are not acknowledged yet: in order, with the same keys, also after a reload. */

import { v7 as timeOrderedKey } from "uuid";

import { fullJitter } from "./backoff.ts";
import { ConnectionLost, Refused } from "./errors.ts";
import type { Body, Position, Published, RoomId, UserId } from "./protocol.ts";
import { Store } from "./signal.ts";

/** What is kept over a reload. `order` rises with every message of a user. */
export interface StoredMessage {
  key: string;
  user: UserId;
  room: RoomId;
  body: Body;
  order: number;
}

/** Where it is kept. */
export interface OutboxStorage {
  load(user: UserId): Promise<StoredMessage[]>;
  put(message: StoredMessage): Promise<void>;
  remove(key: string): Promise<void>;
}

/** `sent`: stored by the server at `position`; it goes when the room's own message is there. */
export interface Pending extends StoredMessage {
  state: "waiting" | "sent" | "failed";
  position: Position | undefined;
  /** Why it failed, for people. */
  error: string | undefined;
}

type Publish = (message: StoredMessage) => Promise<Published>;

export class Outbox extends Store<{ messages: readonly Pending[] }> {
  readonly #storage: OutboxStorage;
  #publish: Publish | undefined;
  readonly #busy = new Set<RoomId>();
  #lastOrder = 0;

  constructor(storage: OutboxStorage) {
    super({ messages: [] });
    this.#storage = storage;
  }

  /** Takes up what an earlier page left behind. */
  async restore(user: UserId): Promise<void> {
    const stored = await this.#storage.load(user).catch(() => []);
    const known = new Set(this.state.messages.map((message) => message.key));
    const restored = stored.filter((message) => !known.has(message.key)).map(waiting);
    const messages = [...restored, ...this.state.messages].sort((a, b) => a.order - b.order);
    this.#lastOrder = Math.max(this.#lastOrder, ...messages.map((message) => message.order));
    this.update({ messages });
    this.#work();
  }

  /** Puts a message at the end. Storing and sending begin at once. */
  add(user: UserId, room: RoomId, body: Body): Pending {
    this.#lastOrder = Math.max(Date.now(), this.#lastOrder + 1);
    const message = { key: timeOrderedKey(), user, room, body, order: this.#lastOrder };
    const pending = waiting(message);
    this.update({ messages: [...this.state.messages, pending] });
    void this.#storage.put(message).catch(() => {}); // a browser may forbid it: then it does not survive a reload
    this.#work();
    return pending;
  }

  /** Sends a failed message again. */
  retry(key: string): void {
    this.#change(key, { state: "waiting", error: undefined });
    this.#work();
  }

  /** Forgets a message; one that is on its way may still arrive. */
  discard(key: string): void {
    void this.#storage.remove(key).catch(() => {});
    this.update({ messages: this.state.messages.filter((message) => message.key !== key) });
  }

  /** Forgets everything, also what is stored: the user signs out. */
  clear(): void {
    for (const { key } of this.state.messages) this.discard(key);
  }

  /** There is a connection (or none): `publish` sends one message and waits for its answer. */
  connected(publish: Publish | undefined): void {
    this.#publish = publish;
    this.#work();
  }

  #work(): void {
    for (const room of new Set(this.state.messages.map((message) => message.room))) void this.#workOff(room);
  }

  /** One message of a room after the other: the next goes when the last is acknowledged, so order holds. */
  async #workOff(room: RoomId): Promise<void> {
    if (this.#busy.has(room)) return;
    this.#busy.add(room);
    try {
      for (let attempt = 0; this.#publish; ) {
        const next = this.state.messages.find(
          (message) => message.room === room && message.state === "waiting",
        );
        if (!next) return;
        const pause = await this.#send(next, this.#publish, attempt);
        attempt = pause === undefined ? 0 : attempt + 1;
        if (pause !== undefined) await new Promise((resolve) => setTimeout(resolve, pause));
      }
    } finally {
      this.#busy.delete(room);
    }
  }

  /** Milliseconds to wait before the same message goes again; undefined if it is done. */
  async #send(message: Pending, publish: Publish, attempt: number): Promise<number | undefined> {
    try {
      const { epoch, seq } = await publish(message);
      void this.#storage.remove(message.key).catch(() => {});
      this.#change(message.key, { state: "sent", position: { epoch, seq } });
    } catch (error) {
      if (error instanceof ConnectionLost) return this.#publish === publish ? fullJitter(attempt) : 0;
      const refused = error instanceof Refused ? error : new Refused("internal", String(error));
      if (refused.retryable) return (refused.retryAfterMs ?? 0) + fullJitter(attempt);
      this.#change(message.key, { state: "failed", error: refused.message });
    }
    return undefined;
  }

  #change(key: string, change: Partial<Pending>): void {
    const messages = this.state.messages.map((message) =>
      message.key === key ? { ...message, ...change } : message,
    );
    this.update({ messages });
  }
}

function waiting(message: StoredMessage): Pending {
  return { ...message, state: "waiting", position: undefined, error: undefined };
}
