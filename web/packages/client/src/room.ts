/** A room: what of it is here, kept true over pushes, gaps and reconnects, and what one can do in it. */

import { fullJitter } from "./backoff.ts";
import { ConnectionLost, Refused } from "./errors.ts";
import type { HttpApi, RoomKind, RoomSummary } from "./http.ts";
import { foldName, mentionsIn } from "./mentions.ts";
import type { Outbox, Pending } from "./outbox.ts";
import * as people from "./people.ts";
import {
  type Body,
  type Joined,
  type Message,
  type Page,
  parseJoined,
  parseOnline,
  parsePage,
  type Role,
  type RoomId,
  type RoomPush,
  type User,
  type UserId,
  type WireMap,
} from "./protocol.ts";
import { Store } from "./signal.ts";
import * as timelines from "./timeline.ts";

export interface RoomState {
  readonly kind: RoomKind;
  readonly title: string;
  readonly role: Role;
  readonly timeline: timelines.Timeline;
  readonly people: people.People;
  /** Up to where the user has read, on any device. */
  readonly readSeq: number;
  /** Unread messages that mention the user, by position. */
  readonly mentions: readonly number[];
  /** Another number for another window: after a jump, or when the history began anew. */
  readonly window: number;
  /** The first page is there (or the room is empty). */
  readonly ready: boolean;
  readonly loading: "older" | "newer" | undefined;
  /** Why nothing can be loaded, for people. */
  readonly error: string | undefined;
  /** The user is no member any more: `removed` or `banned`. */
  readonly removed: string | undefined;
}

/** What a room needs of its client. `ask` throws ConnectionLost while there is no connection. */
export interface RoomContext {
  user: User;
  api: HttpApi;
  outbox: Outbox;
  ask(op: string, fields: WireMap): Promise<WireMap>;
  /** What only the list of rooms tells may have changed. */
  listAgain(): void;
}

const PAGE = 100;
const MAX_PAGE = 200;
/** Unread messages up to which a room opens at its end; beyond it opens where reading stopped. */
const MAX_UNREAD_AT_END = 150;
/** A hole that is filled without being asked; a larger one waits for the reader. */
const MAX_CATCH_UP = 400;
/** Messages that a room keeps while nobody looks. */
const KEPT = 100;
/** Messages of an open room that are looked at again for edits that were missed. */
const REFRESHED = 2000;
const TYPING_MS = 6000;
const READ_EVERY_MS = 1500;
const TYPING_EVERY_MS = 3000;

export class Room extends Store<RoomState> {
  readonly id: RoomId;
  readonly #context: RoomContext;
  readonly #unsubscribe: () => void;
  readonly #typing = new Map<UserId, ReturnType<typeof setTimeout>>();
  /** Edits that came while a page was under way, which may hold older bodies. */
  readonly #changes = new Map<number, timelines.Change>();
  #fetches = 0;
  #joined = false;
  #joining = false;
  #isKept = false;
  #readers = 0;
  #staleFrom: number | undefined;
  #settling = false;
  #readSent = 0;
  #readTimer: ReturnType<typeof setTimeout> | undefined;
  #typed = 0;

  constructor(summary: RoomSummary, context: RoomContext) {
    super({
      kind: summary.kind,
      title: summary.title,
      role: summary.role,
      timeline: timelines.emptyAt(undefined, summary.top_seq),
      people: people.NOBODY,
      readSeq: summary.read_seq,
      mentions: summary.mentions ?? [],
      window: 0,
      ready: false,
      loading: undefined,
      error: undefined,
      removed: undefined,
    });
    this.id = summary.id;
    this.#context = context;
    this.#readSent = summary.read_seq;
    this.#unsubscribe = context.outbox.subscribe(() => this.#clearOutbox());
  }

  /** Messages after the read mark. */
  get unread(): number {
    return Math.max(0, this.state.timeline.top - this.state.readSeq);
  }

  /** Whether the newest message is in the window. */
  get atEnd(): boolean {
    return this.state.timeline.to >= this.state.timeline.top;
  }

  /** The user's own messages that are not among the others yet. */
  get pending(): Pending[] {
    return this.#context.outbox.state.messages.filter((message) => message.room === this.id);
  }

  /** Somebody looks at the room. Returns what ends that. */
  open(): () => void {
    this.#readers += 1;
    this.#begin();
    return () => {
      this.#readers -= 1;
      if (this.#readers > 0) return;
      this.#forget();
      this.#joinOrLeave();
    };
  }

  /** Whether it is to be open on the connection also while nobody looks. */
  keep(isKept: boolean): void {
    this.#isKept = isKept;
    this.#joinOrLeave();
  }

  send(body: Body): Pending {
    return this.#context.outbox.add(this.#context.user.id, this.id, body);
  }

  async edit(seq: number, body: Body): Promise<void> {
    const { revision } = (await this.#ask("edit", { seq, body })) as { revision: number };
    this.#change({ seq, revision, body });
  }

  async delete(seq: number): Promise<void> {
    const { revision } = (await this.#ask("delete", { seq })) as { revision: number };
    this.#change({ seq, revision });
  }

  /** Everything up to `seq` has been read. Told to the server now and then, and again after a reconnect. */
  markRead(seq: number): void {
    if (seq <= this.state.readSeq) return;
    this.#raiseMark(seq);
    this.#readTimer ??= setTimeout(() => void this.#sendRead(), READ_EVERY_MS);
  }

  /** The user is writing. Call it as often as you like. */
  type(): void {
    if (Date.now() - this.#typed < TYPING_EVERY_MS) return;
    this.#typed = Date.now();
    this.#ask("typing", {}).catch(() => {});
  }

  /** Pages back. */
  async loadOlder(): Promise<void> {
    const { from } = this.state.timeline;
    if (from > 1) await this.#load("older", { before: from, limit: PAGE });
  }

  /** Pages forward, if the window does not reach the end. */
  async loadNewer(): Promise<void> {
    if (!this.atEnd) await this.#load("newer", { after: this.state.timeline.to, limit: PAGE });
  }

  /** Shows the end, wherever the reader was. */
  async jumpToEnd(): Promise<void> {
    if (!this.atEnd) await this.#jump({ limit: PAGE });
  }

  /** Asks for the list of members; it is kept up to date from then on. */
  async loadMembers(): Promise<void> {
    const members = await this.#context.api.members(this.id);
    this.update({ people: { ...this.state.people, members } });
  }

  /** What the list of rooms says. */
  listed(summary: RoomSummary): void {
    const { kind, title, role } = summary;
    const readSeq = Math.max(this.state.readSeq, summary.read_seq);
    // What was pushed behind the list's own end is not in it yet.
    const later = this.state.mentions.filter((seq) => seq > summary.top_seq);
    const mentions = [...new Set([...(summary.mentions ?? []), ...later])].filter((seq) => seq > readSeq);
    this.#readSent = Math.max(this.#readSent, summary.read_seq);
    const old = this.state.timeline;
    const timeline = this.#joined || summary.top_seq <= old.top ? old : { ...old, top: summary.top_seq };
    const same = kind === this.state.kind && title === this.state.title && role === this.state.role;
    const sameMarks = readSeq === this.state.readSeq && String(mentions) === String(this.state.mentions);
    if (same && sameMarks && timeline === old && !this.state.removed) return;
    this.update({ kind, title, role, readSeq, mentions, timeline, removed: undefined });
  }

  /** Opens the room on the connection; does nothing while that is under way. */
  async join(): Promise<void> {
    if (this.#joining) return;
    this.#joining = true;
    try {
      await this.#join();
    } finally {
      this.#joining = false;
    }
  }

  async #join(): Promise<void> {
    const { epoch, top } = this.state.timeline;
    const since = epoch === undefined ? {} : { since: { epoch, seq: top } };
    try {
      this.#handleJoined(parseJoined(await this.#ask("join", since)));
    } catch (error) {
      if (error instanceof Refused) this.update({ error: error.message });
      if (error instanceof Refused && error.retryable) await this.#later(error, () => this.#join());
    }
  }

  /** Nothing more comes over that connection. */
  disconnected(): void {
    this.#joined = false;
    if (this.state.timeline.messages.length > 0) this.#markStale(1);
  }

  handlePush(push: RoomPush): void {
    switch (push.push) {
      case "message":
        this.#handleMessage(push.epoch, push.message);
        break;
      case "edited":
      case "deleted":
        this.#change(push);
        break;
      case "gap":
        this.#handleGap(push.epoch, push.from, push.to);
        break;
      case "presence":
        this.update({ people: people.presence(this.state.people, push) });
        break;
      case "typing":
        this.#handleTyping(push.user, push.name);
        break;
      case "read":
        this.#handleRead(push);
        break;
      case "member":
        this.#handleMember(push);
        break;
      case "removed":
        this.#joined = false;
        this.update({ removed: push.reason, timeline: timelines.EMPTY, ready: false });
    }
  }

  /** The client is done with it. */
  close(): void {
    this.#unsubscribe();
    clearTimeout(this.#readTimer);
    for (const timer of this.#typing.values()) clearTimeout(timer);
    this.#joined = this.#isKept = false;
  }

  #handleJoined(answer: Joined): void {
    const before = this.state.timeline;
    const timeline = timelines.joined(before, answer);
    this.#joined = true;
    if (timeline.epoch !== before.epoch) this.#staleFrom = undefined;
    if (before.epoch !== undefined && timeline.epoch !== before.epoch) this.#context.listAgain();
    const ready = this.state.ready && timeline.epoch === before.epoch && timeline.top >= before.top;
    const now = { ...this.state.people, online: answer.membersOnline, typing: new Map() };
    const mentions = this.state.mentions.filter((seq) => seq <= timeline.top);
    this.update({
      timeline,
      ready,
      mentions,
      role: answer.role,
      people: now,
      error: undefined,
      removed: undefined,
    });
    if (this.#readSent < this.state.readSeq) void this.#sendRead();
    if (this.#readers > 0) this.#begin();
    else if (this.state.kind === "direct") void this.#loadPresence();
  }

  #handleMessage(epoch: string, message: Message): void {
    if (!this.#joined) return;
    if (epoch !== this.state.timeline.epoch) {
      void this.join();
      return;
    }
    this.#countMention(message);
    let timeline = timelines.pushed(this.state.timeline, message);
    if (this.#readers === 0) timeline = timelines.trimmed(timeline, KEPT);
    this.#stopTyping(message.user);
    this.#show(timeline);
    void this.#settle();
  }

  #handleGap(epoch: string, from: number, to: number): void {
    this.#context.listAgain();
    if (epoch !== this.state.timeline.epoch) {
      const mentions = this.state.mentions.filter((seq) => seq <= to);
      this.update({ timeline: timelines.emptyAt(epoch, to), ready: false, mentions });
      if (this.#readers > 0) this.#begin();
      return;
    }
    const { timeline } = this.state;
    if (to > timeline.top) this.update({ timeline: { ...timeline, top: to } });
    this.#markStale(from);
    if (this.#readers > 0) this.#askForHints();
    void this.#settle();
  }

  #countMention({ seq, user, body, revision }: Message): void {
    const { mentions, readSeq } = this.state;
    const { user: self } = this.#context;
    // An edit mentions nobody anew, and what was mentioned before it only the list of rooms knows.
    if (revision > 0 || user === self.id || seq <= readSeq || mentions.includes(seq)) return;
    const name = foldName(self.name);
    if (!mentionsIn(body.text ?? "").some((mentioned) => foldName(mentioned) === name)) return;
    this.update({ mentions: [...mentions, seq] });
  }

  #raiseMark(readSeq: number): void {
    this.update({ readSeq, mentions: this.state.mentions.filter((seq) => seq > readSeq) });
  }

  #change(change: timelines.Change): void {
    if (change.body === undefined && this.state.mentions.includes(change.seq))
      this.update({ mentions: this.state.mentions.filter((seq) => seq !== change.seq) });
    if (this.#fetches > 0 && (this.#changes.get(change.seq)?.revision ?? 0) < change.revision) {
      this.#changes.set(change.seq, change);
    }
    const timeline = timelines.changed(this.state.timeline, change);
    if (timeline !== this.state.timeline) this.update({ timeline });
  }

  #handleTyping(user: UserId, name: string): void {
    if (user === this.#context.user.id) return;
    clearTimeout(this.#typing.get(user));
    this.#typing.set(
      user,
      setTimeout(() => this.#stopTyping(user), TYPING_MS),
    );
    this.update({ people: people.typing(this.state.people, user, name) });
  }

  #stopTyping(user: UserId): void {
    clearTimeout(this.#typing.get(user));
    this.#typing.delete(user);
    const now = people.typing(this.state.people, user);
    if (now !== this.state.people) this.update({ people: now });
  }

  #handleRead(push: Extract<RoomPush, { push: "read" }>): void {
    this.update({ people: people.read(this.state.people, push) });
    if (push.user === this.#context.user.id && push.seq > this.state.readSeq) this.#raiseMark(push.seq);
  }

  #handleMember(push: Extract<RoomPush, { push: "member" }>): void {
    if (push.user === this.#context.user.id && push.role) this.update({ role: push.role });
    const now = people.member(this.state.people, push);
    if (now) this.update({ people: now });
    // Whether they were banned, those who may know must ask.
    const mayBeBan = push.role === null && this.state.role !== "member" && now?.members;
    if (!now || mayBeBan) void this.loadMembers().catch(() => {});
  }

  #joinOrLeave(): void {
    const isWanted = this.#isKept || this.#readers > 0;
    if (isWanted && !this.#joined) void this.join();
    if (!isWanted && this.#joined) {
      this.#joined = false;
      if (this.state.timeline.messages.length > 0) this.#markStale(1);
      this.#ask("leave", {}).catch(() => {});
    }
  }

  /** Whatever an open room lacks: its first page, what was missed, who is there. */
  #begin(): void {
    if (!this.#joined) {
      void this.join();
      return;
    }
    this.#askForHints();
    if (this.state.ready) void this.#settle();
    else void this.#loadFirst();
  }

  /** Presence, roles and marks are told once; who may have missed some asks. */
  #askForHints(): void {
    void this.#loadPresence();
    if (this.state.people.members) void this.loadMembers().catch(() => {});
  }

  async #loadFirst(): Promise<void> {
    const { timeline, readSeq } = this.state;
    if (timeline.top === 0) {
      this.update({ ready: true });
    } else if (this.unread > MAX_UNREAD_AT_END) {
      await this.#jump({ after: Math.max(0, readSeq - 40), limit: 120 });
    } else {
      await this.#jump({ limit: Math.min(MAX_PAGE, this.unread + 60) });
    }
  }

  async #loadPresence(): Promise<void> {
    try {
      const online = parseOnline(await this.#ask("presence", {}));
      this.update({ people: people.asked(this.state.people, online) });
    } catch {
      // A hint: the next push, or opening the room again, will tell.
    }
  }

  /** One page on either side of the window. */
  async #load(way: "older" | "newer", query: WireMap): Promise<void> {
    if (this.state.loading) return;
    this.update({ loading: way });
    try {
      const stretch = await this.#fetch(query);
      if (stretch) this.#show(timelines.paged(this.state.timeline, stretch));
      this.update({ error: undefined });
    } catch (error) {
      this.update({ error: (error as Error).message });
    } finally {
      this.update({ loading: undefined });
    }
  }

  async #jump(query: WireMap): Promise<void> {
    try {
      const stretch = await this.#fetch(query);
      if (!stretch) return;
      this.#staleFrom = undefined;
      this.#show(timelines.jumped(this.state.timeline, stretch));
      this.update({ ready: true, window: this.state.window + 1, error: undefined });
      void this.#settle();
    } catch (error) {
      if (error instanceof Refused) this.update({ error: error.message });
      if (error instanceof Refused && error.retryable) await this.#later(error, () => this.#jump(query));
    }
  }

  /** A page of history, with the edits that came meanwhile; undefined if the history began anew. */
  async #fetch(query: WireMap): Promise<timelines.Stretch | undefined> {
    const { epoch } = this.state.timeline;
    this.#fetches += 1;
    try {
      const page = parsePage(await this.#ask("history", query));
      if (epoch !== this.state.timeline.epoch) return undefined;
      if (page.epoch !== undefined && epoch !== undefined && page.epoch !== epoch) {
        void this.join();
        return undefined;
      }
      return {
        ...bounds(query, page, this.state.timeline.top),
        messages: page.messages.map((it) => this.#revised(it)),
      };
    } finally {
      this.#fetches -= 1;
      if (this.#fetches === 0) this.#changes.clear();
    }
  }

  #revised(message: Message): Message {
    const change = this.#changes.get(message.seq);
    return change && change.revision > message.revision ? timelines.revised(message, change) : message;
  }

  #markStale(seq: number): void {
    this.#staleFrom = Math.min(seq, this.#staleFrom ?? seq);
  }

  /** Works off what an open room has missed: edits first, then what lies between the window and the end. */
  async #settle(): Promise<void> {
    if (this.#settling) return;
    this.#settling = true;
    try {
      for (let attempt = 0; this.#joined && this.#readers > 0 && this.state.ready; ) {
        const { from, to, top } = this.state.timeline;
        const hole = top - to;
        if (this.#staleFrom !== undefined && this.#staleFrom <= to) {
          await this.#refresh(Math.max(this.#staleFrom, from, to - REFRESHED + 1));
        } else if (hole > 0 && hole <= MAX_CATCH_UP) {
          const stretch = await this.#fetch({ after: to, limit: MAX_PAGE });
          if (stretch) this.#show(timelines.paged(this.state.timeline, stretch));
        } else {
          return;
        }
        // A replica may lag behind what was pushed.
        attempt = this.state.timeline.to > to ? 0 : attempt + 1;
        if (attempt > 1) await pause(fullJitter(attempt));
      }
    } catch (error) {
      if (error instanceof Refused && error.retryable) void this.#later(error, () => this.#settle());
      else if (!(error instanceof ConnectionLost)) throw error;
    } finally {
      this.#settling = false;
    }
  }

  /** Reads again what may have been edited unseen, from `first` to the end of the window. */
  async #refresh(first: number): Promise<void> {
    this.#staleFrom = undefined;
    const last = this.state.timeline.to;
    let next = first;
    try {
      while (next <= last) {
        const stretch = await this.#fetch({ after: next - 1, limit: Math.min(MAX_PAGE, last - next + 1) });
        if (!stretch) return;
        this.#show(timelines.paged(this.state.timeline, stretch));
        if (stretch.to < next) return;
        next = stretch.to + 1;
      }
    } catch (error) {
      this.#markStale(next);
      throw error;
    }
  }

  #show(timeline: timelines.Timeline): void {
    this.update({ timeline });
    this.#clearOutbox();
  }

  /** Own messages leave the outbox when they are here, or in a part of the history that is not loaded. */
  #clearOutbox(): void {
    const { user, outbox } = this.#context;
    const { epoch, top, messages } = this.state.timeline;
    for (const { key, position } of this.pending) {
      const isStored = position && (position.epoch !== epoch || position.seq <= top);
      if (isStored || messages.some((message) => message.key === key && message.user === user.id))
        outbox.discard(key);
    }
  }

  /** Nobody looks any more: the end is kept, what lies further back is read again when it is wanted. */
  #forget(): void {
    const { timeline } = this.state;
    const kept = this.atEnd
      ? timelines.trimmed(timeline, KEPT)
      : timelines.emptyAt(timeline.epoch, timeline.top);
    this.update({ timeline: kept, ready: this.atEnd && kept.messages.length > 0 });
  }

  async #sendRead(): Promise<void> {
    this.#readTimer = undefined;
    const seq = this.state.readSeq;
    try {
      await this.#ask("read", { seq });
      this.#readSent = Math.max(this.#readSent, seq);
    } catch {
      // It goes again with the next message that is read, or after the next join.
    }
  }

  async #later(refused: Refused, again: () => Promise<void>): Promise<void> {
    await pause((refused.retryAfterMs ?? 1000) + fullJitter(1));
    await again();
  }

  #ask(op: string, fields: WireMap): Promise<WireMap> {
    return this.#context.ask(op, { room: this.id, ...fields });
  }
}

/** What a page covers: up to the bound that was asked for, on a side where there is nothing more. */
function bounds(query: WireMap, { messages, more }: Page, top: number): { from: number; to: number } {
  const first = messages[0]?.seq;
  const last = messages.at(-1)?.seq;
  if (typeof query.after === "number") return { from: query.after + 1, to: last ?? query.after };
  const to = typeof query.before === "number" ? query.before - 1 : (last ?? top);
  return { from: more && first !== undefined ? first : 1, to };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
