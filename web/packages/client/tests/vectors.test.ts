/** Both encodings, against the vectors that the server is tested with. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cbor } from "../src/cbor.ts";
import { type Codec, readFrame } from "../src/codec.ts";
import { json } from "../src/json.ts";
import * as protocol from "../src/protocol.ts";

interface Vector {
  name: string;
  what: string;
  model: protocol.WireMap;
  json: string;
  cbor: string;
}

const VECTORS = join(import.meta.dirname, "..", "..", "..", "..", "tests", "vectors");

function read<T>(name: string): T[] {
  return JSON.parse(readFileSync(join(VECTORS, name), "utf8"));
}

describe.each(["commands", "answers", "pushes"])("%s", (kind) => {
  test.each(read<Vector>(`${kind}.json`))("$name: $what", ({ model, json: text, cbor: hex }) => {
    expect(json.decode(text)).toEqual(model);
    expect(cbor.decode(Buffer.from(hex, "hex"))).toEqual(model);
    if (kind !== "commands") return;
    expect(json.encode(model)).toBe(text);
    expect(Buffer.from(cbor.encode(model) as Uint8Array).toString("hex")).toBe(hex);
  });
});

test("every push of the vectors is understood", () => {
  for (const { model } of read<Vector>("pushes.json")) {
    for (const map of Array.isArray(model) ? model : [model])
      expect(protocol.parsePush(map)?.push).toBe(map.push);
  }
});

test("every answer of the vectors is understood", () => {
  const answers = Object.fromEntries(
    read<Vector>("answers.json").map(({ name, model }) => [name, model.ok as protocol.WireMap]),
  );
  const { hello, join_recovered, publish_duplicate, history, presence } = answers as Record<
    string,
    protocol.WireMap
  >;
  expect(protocol.parseHello(hello as protocol.WireMap)).toMatchObject({
    user: { id: "u7h3m1", name: "Ada" },
    heartbeatSeconds: 25,
    expiresIn: 899.5,
  });
  expect(protocol.parseJoined(join_recovered as protocol.WireMap)).toEqual({
    epoch: "e1",
    seq: 41,
    top: 43,
    recovered: true,
    membersOnline: 3,
    role: "member",
  });
  expect(protocol.parsePublished(publish_duplicate as protocol.WireMap).duplicate).toBe(true);
  const page = protocol.parsePage(history as protocol.WireMap);
  expect(page.more).toBe(true);
  expect(page.messages.map(({ seq, revision, deleted }) => [seq, revision, deleted])).toEqual([
    [42, 0, false],
    [43, 2, false],
    [44, 1, true],
  ]);
  expect(protocol.parseOnline(presence as protocol.WireMap).users).toHaveLength(2);
});

/** What a client must not take for a frame. JavaScript reads numbers and keys as it does; the rest is refused. */
const LENIENT = new Set([
  "a key twice",
  "a lone surrogate",
  "a number that is too large",
  "33 levels",
  "257 commands",
]);
const READ_AS_VALUES = new Set([
  "an integer of more than 64 bits",
  "a byte string",
  "not a number",
  "text that is not UTF-8",
]);

describe("malformed frames", () => {
  const cases = read<{ codec: string; what: string; payload: string }>("malformed.json");
  const refused = cases.filter(({ what }) => !LENIENT.has(what) && !READ_AS_VALUES.has(what));
  test.each(refused)("$codec: $what", ({ codec, payload }) => {
    const bytes = Buffer.from(payload, "hex");
    const [reader, frame]: [Codec, unknown] =
      codec === "json" ? [json, bytes.toString("utf8")] : [cbor, new Uint8Array(bytes).buffer];
    expect(() => readFrame(reader, frame)).toThrow(protocol.ProtocolViolation);
  });
});

test("an unknown push is ignored, a garbled one is a violation", () => {
  expect(protocol.parsePush({ push: "fireworks", room: "r" })).toBeUndefined();
  expect(() => protocol.parsePush({ push: "message", room: "r", epoch: "e" })).toThrow(
    protocol.ProtocolViolation,
  );
});

test("a body from elsewhere cannot bring a text that is none", () => {
  const message = protocol.parseMessage({
    seq: 1,
    ts: 0,
    user: "u",
    name: "n",
    key: "k",
    body: { text: { a: 1 } },
  });
  expect(typeof message.body.text).toBe("string");
});
