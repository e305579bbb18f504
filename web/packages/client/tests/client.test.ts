/** Connections that end, answers that do not come, tokens that expire: what the client does about them. */

import "fake-indexeddb/auto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fullJitter } from "../src/backoff.ts";
import { ChatClient, type ClientOptions } from "../src/client.ts";
import { afterClose } from "../src/errors.ts";
import { HttpApi } from "../src/http.ts";
import type { Room } from "../src/room.ts";
import { IndexedDbStorage, MemoryStorage } from "../src/storage.ts";
import { type FakeRoom, FakeServer } from "./fake_server.ts";

const clients: ChatClient[] = [];
let server: FakeServer;
let shared: FakeRoom;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
  server = new FakeServer();
  shared = server.room();
  vi.stubGlobal("fetch", server.fetch);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function started(options: Partial<ClientOptions> = {}): Promise<[ChatClient, Room]> {
  const api = new HttpApi("http://node");
  await api.signIn("Ada", "secret");
  const client = new ChatClient({ api, url: "ws://node/ws", socket: server.socket, ...options });
  clients.push(client);
  client.start();
  await pass(1000);
  return [client, client.state.rooms.get("r1") as Room];
}

/** Time passes, in steps that let what waits for something else than time go on. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) await vi.advanceTimersByTimeAsync(100);
}

const texts = () => shared.messages.map(({ body }) => (body as { text: string }).text);
const sent = (op: string) => server.commands.filter((command) => command.op === op);

describe("the outbox", () => {
  test("sends what was written without a connection, in order and once", async () => {
    const [, room] = await started();
    server.isAway = true;
    server.disconnect();
    for (const text of ["one", "two", "three"]) room.send({ text });
    await pass(60_000);
    expect(room.pending.map(({ state }) => state)).toEqual(["waiting", "waiting", "waiting"]);
    server.isAway = false;
    await pass(60_000);
    expect(texts()).toEqual(["one", "two", "three"]);
    expect(room.pending).toEqual([]);
  });

  test("sends again with the same key when the answer was lost", async () => {
    const [, room] = await started();
    server.dropsAnswers = true;
    room.send({ text: "once" });
    await pass(5000);
    server.dropsAnswers = false;
    await pass(60_000);
    expect(sent("publish").length).toBeGreaterThan(1);
    expect(new Set(sent("publish").map(({ key }) => key)).size).toBe(1);
    expect(texts()).toEqual(["once"]);
    expect(room.pending).toEqual([]);
  });

  test.each([
    ["memory", () => new MemoryStorage()],
    ["IndexedDB", () => new IndexedDbStorage("outbox-test")],
  ])("survives a reload in %s, with its keys and its order", async (_name, storage) => {
    const kept = storage();
    const [before, room] = await started({ storage: kept });
    server.isAway = true;
    server.disconnect();
    for (const text of ["one", "two", "three"]) room.send({ text });
    const keys = room.pending.map(({ key }) => key);
    await pass(1000);
    before.stop();
    server.isAway = false;
    const [, after] = await started({ storage: kept });
    await pass(5000);
    expect(texts()).toEqual(["one", "two", "three"]);
    expect(shared.messages.map(({ key }) => key)).toEqual(keys);
    expect(after.pending).toEqual([]);
    expect(await kept.load("u1")).toEqual([]);
  });

  test("keeps the order when the server asks for patience", async () => {
    const [, room] = await started();
    const err = { code: "rate_limited", message: "slow down", retryable: true, retry_after_ms: 3000 };
    server.refusals.push({ op: "publish", err });
    for (const text of ["one", "two"]) room.send({ text });
    await pass(2900);
    expect(texts()).toEqual([]);
    await pass(3000);
    expect(texts()).toEqual(["one", "two"]);
  });

  test("holds what was refused for good, sends the rest, and tries again when told to", async () => {
    const [client, room] = await started();
    server.refusals.push({ op: "publish", err: { code: "forbidden", message: "not you", retryable: false } });
    const refused = room.send({ text: "first" });
    room.send({ text: "second" });
    await pass(2000);
    expect(texts()).toEqual(["second"]);
    expect(room.pending).toMatchObject([{ state: "failed", error: "not you" }]);
    client.outbox.retry(refused.key);
    await pass(2000);
    expect(texts()).toEqual(["second", "first"]);
  });

  test("is emptied by signing out", async () => {
    const storage = new MemoryStorage();
    const [client, room] = await started({ storage });
    server.disconnect();
    room.send({ text: "secret" });
    await client.signOut();
    expect(await storage.load("u1")).toEqual([]);
  });
});

describe("the connection", () => {
  test("comes back by itself, and says when it will try", async () => {
    const [client] = await started();
    server.isAway = true;
    server.disconnect();
    await vi.advanceTimersByTimeAsync(0);
    expect(client.state.status).toMatchObject({ phase: "waiting", until: expect.any(Number) });
    await pass(30_000);
    server.isAway = false;
    await pass(30_000);
    expect(client.state.status.phase).toBe("online");
    expect(server.sockets.size).toBe(1);
  });

  test("waits as long as a parting node asked for", async () => {
    const [client] = await started();
    for (const socket of server.sockets)
      socket.tell({ push: "bye", reason: "going_away", reconnect_after_ms: 7000 });
    await pass(100);
    server.disconnect(4001);
    await pass(6500);
    expect(client.state.status.phase).toBe("waiting");
    await pass(1000);
    expect(client.state.status.phase).toBe("online");
  });

  test("is given up when the server is silent", async () => {
    const [client] = await started();
    const [dead] = server.sockets;
    if (dead) dead.isDead = true;
    await pass(45_000);
    expect(client.state.status.phase).toBe("online");
    expect(server.sockets.has(dead as never)).toBe(false);
    expect(server.sockets.size).toBe(1);
  });

  test("does not wait when somebody is in a hurry", async () => {
    const [client] = await started();
    for (const socket of server.sockets)
      socket.tell({ push: "bye", reason: "going_away", reconnect_after_ms: 60_000 });
    await pass(100);
    server.disconnect(4001);
    await pass(1000);
    client.hurry();
    await pass(1000);
    expect(client.state.status.phase).toBe("online");
  });

  test("shows a fresh token before the old one ends", async () => {
    server.tokenSeconds = 100;
    await started();
    await pass(70_000);
    expect(sent("refresh")).toHaveLength(1);
    await pass(70_000);
    expect(sent("refresh")).toHaveLength(2);
    expect(sent("hello")).toHaveLength(1);
  });

  test("comes back with a new token when the old one was not accepted", async () => {
    const [client] = await started();
    server.disconnect(4501);
    await pass(10_000);
    expect(client.state.status.phase).toBe("online");
    expect(new Set(sent("hello").map(({ token }) => token)).size).toBe(2);
  });

  test.each([
    [4503, "signed_out"],
    [4504, "banned"],
    [4599, "failed"],
    [1007, "failed"],
    [1009, "failed"],
  ])("ends for good with %i", async (code, why) => {
    const [client] = await started();
    server.disconnect(code);
    await pass(60_000);
    expect(client.state.status).toMatchObject({ phase: "ended", why });
    expect(server.sockets.size).toBe(0);
  });

  test("ends when the cookie's session is over", async () => {
    const [client] = await started();
    server.isSignedIn = false;
    server.disconnect(4501);
    await pass(5000);
    expect(client.state.status).toMatchObject({ phase: "ended", why: "signed_out" });
  });
});

describe("the way to a node", () => {
  test("leads where the server says, and back to there", async () => {
    server.nodes = ["b", "b", "c"];
    await started();
    expect(sent("hello")).toMatchObject([{ token: `${server.token} at b` }]);
    for (let cut = 0; cut < 2; cut++) {
      server.disconnect();
      await pass(5000);
    }
    expect(server.resumes).toEqual([null, `${server.token} at b`, `${server.token} at b`]);
    expect(server.tried).toEqual(["b", "b", "c"]);
    expect(server.sockets.size).toBe(1);
  });

  test("leads to the configured address when two nodes in a row were out of reach", async () => {
    server.nodes = ["b", "c", "d"];
    server.unreachable.set("b", "refuses").set("c", "is silent").set("d", "refuses");
    const [client] = await started();
    await pass(9000); // two pauses of at most 1.5 s, and 5 s for the silent one
    expect(client.state.status.phase).toBe("online");
    expect(server.tried).toEqual(["b", "c", "node"]);
    expect(sent("hello")).toMatchObject([{ token: server.token }]);
  });

  test("is no detour on a server of one node", async () => {
    await started({ url: "ws://sockets.node/ws" });
    expect(server.tried).toEqual(["sockets.node"]);
  });
});

test("rooms that the user was put into are there as soon as the server tells of them", async () => {
  const [client] = await started();
  const added = server.room("r2", "direct");
  server.tell({ push: "room", room: "r2", kind: "direct", name: "", title: "Bob", role: "member" });
  await pass(1000);
  expect([...client.state.rooms.keys()]).toEqual(["r1", "r2"]);
  server.post(added, "u2", "k", { text: "hi" });
  await pass(1000);
  expect(client.state.rooms.get("r2")?.unread).toBe(1);
});

test("a room that nobody told of is found after a while", async () => {
  const [client] = await started();
  server.room("r2");
  await pass(310_000);
  expect([...client.state.rooms.keys()]).toEqual(["r1", "r2"]);
});

test("who is removed and invited again at once is in the room", async () => {
  const [client, room] = await started();
  for (const socket of server.sockets) socket.rooms.clear();
  server.tell({ push: "removed", room: "r1", reason: "removed" });
  await pass(1000);
  expect(client.state.rooms.get("r1")).toBe(room);
  server.post(shared, "u2", "k", { text: "welcome back" });
  await pass(1000);
  expect(room.state.removed).toBeUndefined();
  expect(room.unread).toBe(1);
});

test("many pushes of the list make few readings of it", async () => {
  await started();
  const before = server.lists;
  for (let n = 0; n < 50; n++)
    server.tell({ push: "room", room: "r1", kind: "public", name: "r1", title: "r1", role: "member" });
  await pass(1000);
  expect(server.lists - before).toBeLessThanOrEqual(2);
});

test("of very many rooms those beyond are opened while somebody looks, and counted by the list", async () => {
  for (let n = 2; n <= 160; n++) server.room(`r${n}`);
  const [client] = await started();
  const [socket] = server.sockets;
  expect(socket?.rooms.size).toBe(150);
  const last = client.state.rooms.get("r160") as Room;
  const close = last.open();
  await pass(1000);
  expect(socket?.rooms.has("r160")).toBe(true);
  close();
  await pass(1000);
  expect(socket?.rooms.has("r160")).toBe(false);
  server.post(server.rooms.get("r160") as FakeRoom, "u2", "k", { text: "for @ada" });
  await pass(61_000);
  expect([last.unread, last.state.mentions]).toEqual([1, [1]]);
  last.open();
  await pass(1000);
  expect(last.state.timeline.messages).toHaveLength(1);
});

test("unread mentions are there after a reload, count up, and go when they are read", async () => {
  server.post(shared, "u2", "k1", { text: "@Ada, are you there?" });
  const [, room] = await started();
  expect(room.state.mentions).toEqual([1]);
  server.post(shared, "u2", "k2", { text: "nobody" });
  server.post(shared, "u2", "k3", { text: "@[ada]!" });
  await pass(100);
  expect([room.unread, room.state.mentions]).toEqual([3, [1, 3]]);
  room.markRead(1);
  expect(room.state.mentions).toEqual([3]);
});

test("a removal empties the room and the list", async () => {
  shared.messages = [];
  const [client, room] = await started();
  room.open();
  server.rooms.delete("r1");
  server.push(shared, { push: "removed", reason: "banned" });
  await pass(1000);
  expect(room.state.removed).toBe("banned");
  expect(room.state.timeline.messages).toEqual([]);
  expect(client.state.rooms.size).toBe(0);
});

test("a large backlog opens where reading stopped, and goes on in both directions", async () => {
  for (let n = 1; n <= 1000; n++) server.post(shared, "u2", `k${n}`, { text: `${n}` });
  const ada = shared.members.find(({ id }) => id === "u1");
  if (ada) ada.read_seq = 400;
  const [, room] = await started();
  room.open();
  await pass(1000);
  const { from, to } = room.state.timeline;
  expect([from <= 400, to > 400, room.atEnd]).toEqual([true, true, false]);
  await Promise.all([room.loadOlder(), pass(1000)]);
  await Promise.all([room.loadNewer(), pass(1000)]);
  expect(room.state.timeline.from).toBeLessThan(from);
  expect(room.state.timeline.to).toBeGreaterThan(to);
  await Promise.all([room.jumpToEnd(), pass(1000)]);
  expect([room.atEnd, room.state.timeline.to]).toEqual([true, 1000]);
});

test("codes of 4000 to 4499 mean again, of 4500 to 4999 not so", () => {
  for (let code = 4000; code < 4500; code++) expect(afterClose(code)).toBe("reconnect");
  for (let code = 4500; code < 5000; code++) expect(afterClose(code)).not.toBe("reconnect");
  for (const code of [1000, 1001, 1005, 1006]) expect(afterClose(code)).toBe("reconnect");
  for (const code of [1008, 1011, 1013]) expect(afterClose(code)).toBe("reconnect_slowly");
});

test("pauses are spread from nothing to a bound that doubles up to 20 s", () => {
  for (let attempt = 0; attempt < 40; attempt++) {
    const bound = Math.min(20_000, 500 * 2 ** attempt);
    const pauses = Array.from({ length: 200 }, () => fullJitter(attempt));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(bound);
    expect(Math.min(...pauses)).toBeLessThan(bound / 4);
    expect(Math.max(...pauses)).toBeGreaterThan(bound / 2);
  }
});
