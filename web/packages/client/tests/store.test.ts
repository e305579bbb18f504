/** The store after a stream of events equals the store after a fresh load, whatever happened on the way. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ChatClient } from "../src/client.ts";
import { HttpApi } from "../src/http.ts";
import type { Room } from "../src/room.ts";
import { type FakeRoom, FakeServer } from "./fake_server.ts";

const clients: ChatClient[] = [];
let server: FakeServer;
let shared: FakeRoom;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  shared = server.room();
  vi.stubGlobal("fetch", server.fetch);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A client with the room open, everything loaded. */
async function opened(): Promise<[ChatClient, Room]> {
  const api = new HttpApi("http://node");
  await api.signIn("Ada", "secret");
  const client = new ChatClient({ api, url: "ws://node/ws", socket: server.socket });
  clients.push(client);
  client.start();
  await quiet();
  const room = client.state.rooms.get("r1") as Room;
  room.open();
  await quiet();
  await room.loadMembers();
  return [client, room];
}

/** Until everything that was set going has come to rest. */
async function quiet(): Promise<void> {
  await vi.advanceTimersByTimeAsync(60_000);
}

/** What two stores must agree on: all of it, as far as both have loaded. */
function comparable(room: Room, from: number, to: number) {
  const { timeline, people, readSeq, mentions, role, kind, title, ready, removed } = room.state;
  return {
    epoch: timeline.epoch,
    top: timeline.top,
    messages: timeline.messages.filter(({ seq }) => seq >= from && seq <= to),
    members: people.members,
    online: people.online,
    present: [...(people.present ?? [])].sort(),
    typing: [...people.typing],
    pending: room.pending,
    ...{ readSeq, mentions: mentions.toSorted(byNumber), role, kind, title, ready, removed },
  };
}

function byNumber(a: number, b: number): number {
  return a - b;
}

async function expectFreshEqual(room: Room): Promise<void> {
  await quiet();
  const [, fresh] = await opened();
  await quiet();
  const [mine, other] = [room.state.timeline, fresh.state.timeline];
  const [from, to] = [Math.max(mine.from, other.from), Math.min(mine.to, other.to)];
  expect(comparable(room, from, to)).toEqual(comparable(fresh, from, to));
  expect(mine.messages.map(({ seq }) => seq)).toEqual(
    Array.from(mine.messages, (_, index) => mine.from + index),
  );
}

function post(count: number): void {
  for (let n = 0; n < count; n++)
    server.post(shared, "u2", `k${shared.top}`, { text: `message ${shared.top + 1}` });
}

const EVENTS: Record<string, (room: Room) => Promise<void> | void> = {
  message: () => post(3),
  mention: () => void server.post(shared, "u2", `k${shared.top}`, { text: "look, @Ada" }),
  "mention deleted": () => {
    const at = shared.mentions.at(-1) ?? server.post(shared, "u2", `k${shared.top}`, { text: "@Ada" }).seq;
    server.change(shared, at);
  },
  "mention read": (room) => {
    server.post(shared, "u2", `k${shared.top}`, { text: "@Ada" });
    room.markRead(room.state.timeline.top);
  },
  "own message": (room) => void room.send({ text: "mine" }),
  edited: () => server.change(shared, 2, { text: "edited" }),
  "edited twice": () => {
    server.change(shared, 2, { text: "edited" });
    server.change(shared, 2, { text: "again" });
  },
  deleted: () => server.change(shared, 3),
  "own edit": (room) => void room.edit(1, { text: "by me" }).catch(() => {}),
  "own deletion": (room) => void room.delete(1).catch(() => {}),
  presence: () => {
    shared.present.set("u2", "Bob");
    server.push(shared, { push: "presence", joins: [{ id: "u2", name: "Bob" }], leaves: [], online: 1 });
  },
  "presence left": () => {
    shared.present.delete("u2");
    server.push(shared, { push: "presence", joins: [], leaves: ["u2"], online: shared.present.size });
  },
  typing: () => server.push(shared, { push: "typing", user: "u2", name: "Bob" }),
  read: () => {
    const bob = shared.members.find(({ id }) => id === "u2");
    if (bob) bob.read_seq = Math.max(bob.read_seq, shared.top);
    server.push(shared, { push: "read", user: "u2", seq: shared.top });
  },
  "read on another device": () => {
    const ada = shared.members.find(({ id }) => id === "u1");
    if (ada) ada.read_seq = Math.max(ada.read_seq, shared.top);
    server.push(shared, { push: "read", user: "u1", seq: shared.top });
  },
  "own read": (room) => room.markRead(room.state.timeline.top),
  "member promoted": () => {
    shared.members = shared.members.map((member) =>
      member.id === "u2" ? { ...member, role: "moderator" } : member,
    );
    server.push(shared, { push: "member", user: "u2", role: "moderator" });
  },
  "member new": () => {
    shared.members = [
      ...shared.members.filter(({ id }) => id !== "u3"),
      { id: "u3", name: "Cleo", role: "member", read_seq: 0 },
    ];
    server.push(shared, { push: "member", user: "u3", role: "member" });
  },
  "member gone": () => {
    shared.members = shared.members.filter(({ id }) => id !== "u3");
    server.push(shared, { push: "member", user: "u3", role: null });
  },
  gap: () => silently(() => post(4), "gap"),
  "gap with edits": () =>
    silently(
      () => {
        server.change(shared, 1, { text: "unseen" });
        post(2);
      },
      "gap",
      1,
    ),
  "gap larger than a page": () => silently(() => post(300), "gap"),
  "short interruption": async () => {
    server.disconnect();
    post(2);
    server.change(shared, 1, { text: "while away" });
    server.change(shared, 4);
  },
  "long interruption": async () => {
    server.disconnect();
    post(40);
    server.change(shared, 2, { text: "while away" });
  },
  "very long interruption": async () => {
    server.disconnect();
    post(900);
  },
  "another life of the history": async () => {
    server.disconnect();
    restore(2);
    shared.epoch = `e${shared.epoch}`;
    post(3);
  },
  "another life without an interruption": () => {
    restore(1);
    shared.epoch = `f${shared.epoch}`;
    server.push(shared, { push: "gap", epoch: shared.epoch, from: 1, to: shared.top });
  },
};

/** The history as it was after `count` messages. */
function restore(count: number): void {
  shared.messages = shared.messages.slice(0, count);
  shared.mentions = shared.mentions.filter((seq) => seq <= count);
}

/** What happens inside is not pushed to connections, which are told of a gap instead. */
function silently(happening: () => void, push: string, from = shared.top + 1): void {
  const sockets = [...server.sockets];
  const rooms = sockets.map((socket) => new Set(socket.rooms));
  for (const socket of sockets) socket.rooms.clear();
  happening();
  sockets.forEach((socket, index) => {
    for (const room of rooms[index] ?? []) socket.rooms.add(room);
  });
  server.push(shared, { push, epoch: shared.epoch, from, to: shared.top });
}

test.each(Object.entries(EVENTS))("after: %s", async (_name, happen) => {
  post(6);
  const [, room] = await opened();
  await happen(room);
  await expectFreshEqual(room);
});

test("a history that began anew is drawn anew, also for who was far back", async () => {
  post(500);
  const [, room] = await opened();
  await room.loadOlder();
  await EVENTS["another life of the history"]?.(room);
  await expectFreshEqual(room);
  expect(room.state.timeline.messages.every(({ seq }) => seq <= shared.top)).toBe(true);
});

test.each(Array.from({ length: 30 }, (_, seed) => seed))(
  "after any mixture of events (seed %i)",
  async (seed) => {
    const random = generator(seed);
    post(Math.floor(random() * 300));
    const [, room] = await opened();
    const names = Object.keys(EVENTS);
    for (let step = 0; step < 25; step++) {
      await EVENTS[names[Math.floor(random() * names.length)] as string]?.(room);
      if (random() < 0.2) void room.loadOlder();
      await vi.advanceTimersByTimeAsync(Math.floor(random() * 30));
    }
    await expectFreshEqual(room);
  },
);

/** A small reproducible source of chance (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
