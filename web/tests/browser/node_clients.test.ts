/** The client in Node, in both encodings, against a real node: what it holds is what a fresh one loads. */

import {
  ChatClient,
  type Codec,
  cbor,
  type HttpApi,
  json,
  MemoryStorage,
  type Room,
  type SocketClass,
} from "chat-gateway-client";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { WebSocket } from "ws";
import { Node } from "./node.ts";

const WAIT_MS = 60_000;

describe.skipIf(inject("missing") !== "")("clients in Node", () => {
  let node: Node;
  const clients: ChatClient[] = [];

  beforeAll(async () => {
    node = await Node.create();
    await node.start();
  });

  afterEach(() => {
    for (const client of clients.splice(0)) client.stop();
  });

  afterAll(() => node?.remove());

  function start(api: HttpApi, codec: Codec): ChatClient {
    const socket = WebSocket as unknown as SocketClass;
    const url = `${node.url.replace("http", "ws")}/ws`;
    const client = new ChatClient({ api, url, codec, socket, storage: new MemoryStorage() });
    clients.push(client);
    client.start();
    return client;
  }

  /** The value, as soon as there is one. */
  async function until<T>(look: () => T | undefined | false): Promise<T> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const found = look();
      if (found) return found;
      if (Date.now() > deadline) throw new Error(`never came true: ${look}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  const roomOf = (client: ChatClient, id: string) => until(() => client.state.rooms.get(id));
  const texts = (room: Room) => room.state.timeline.messages.map(({ body }) => body.text);

  async function opened(client: ChatClient, id: string): Promise<Room> {
    const room = await roomOf(client, id);
    room.open();
    await until(() => room.state.ready);
    return room;
  }

  /** All that two clients of one user must agree on. */
  const held = ({ state }: Room) => ({
    ...{ kind: state.kind, title: state.title, role: state.role, readSeq: state.readSeq },
    ...{ mentions: state.mentions, epoch: state.timeline.epoch, top: state.timeline.top },
    messages: state.timeline.messages,
  });

  test.each([
    ["CBOR", cbor, "Ada1", "Bob1"],
    ["JSON", json, "Ada2", "Bob2"],
  ] as const)("talk in %s, over a kill, and miss and double nothing", async (_name, codec, first, second) => {
    const [ada, bob] = [await node.user(first), await node.user(second)];
    const [adas, bobs] = [start(ada, codec), start(bob, codec)];
    await until(() => bobs.state.status.phase === "online" && bobs.state.listed);
    const { id } = await ada.createRoom("private", "private");
    await ada.setRole(id, bob.user?.id ?? "", "member");
    const theirs = await opened(bobs, id); // told at once: the list was read before the room was there
    const mine = await opened(adas, id);
    mine.send({ text: "one" });
    mine.send({ text: `@${second}. two` });
    await until(() => theirs.state.timeline.top === 2);
    expect(theirs.state.mentions).toEqual([2]);
    await mine.edit(1, { text: "one, edited" });
    await until(() => texts(theirs)[0] === "one, edited");

    await node.kill();
    mine.send({ text: "three" });
    theirs.send({ text: "four" });
    await until(() => adas.state.status.phase !== "online");
    await node.start();
    await until(() => mine.pending.length + theirs.pending.length === 0);
    await until(() => mine.state.timeline.to === 4 && theirs.state.timeline.to === 4);
    expect(texts(theirs).toSorted()).toEqual([`@${second}. two`, "four", "one, edited", "three"]);
    await mine.delete(2);
    await until(() => theirs.state.mentions.length === 0);

    const fresh = await opened(start(bob, codec), id);
    await until(() => fresh.state.timeline.to === theirs.state.timeline.to);
    expect(held(fresh)).toEqual(held(theirs));
    expect(held(mine).messages).toEqual(held(theirs).messages);

    await ada.removeMember(id, bob.user?.id ?? "");
    await until(() => !bobs.state.rooms.has(id));
  });
});
