/** Where the server sends a client, and what becomes of answers that lead nowhere. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HttpApi } from "../src/http.ts";
import type { WireMap } from "../src/protocol.ts";
import { Way } from "../src/way.ts";

const OWN = "ws://node/ws";
const LED = { url: "ws://b/ws", token: "resume-b", withinMs: 5000 };
const BACK = { url: OWN, token: "access" };

/** What `/api/connect` answers, and what was asked there. */
let answer: () => Response | Promise<Response>;
let asked: string[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  asked = [];
  answer = () => Response.json({ url: "ws://b/ws", node: "b", resume: "resume-b", expires_in: 900 });
  vi.stubGlobal("fetch", async (address: string) => {
    const { pathname, search } = new URL(address);
    if (pathname !== "/api/connect")
      return Response.json({ access_token: "access", expires_in: 900, user: { id: "u1", name: "Ada" } });
    asked.push(search);
    return answer();
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const wayOf = (own = OWN, api = "http://node") => new Way(new HttpApi(api), own);
const told = (map: WireMap) => () => Response.json({ resume: "resume-b", ...map });
const refused = (status: number, code: string) => () =>
  Response.json({ error: { code, message: code, retryable: true } }, { status });

test("goes where the server says, and shows a token there that is good for nothing else", async () => {
  expect(await wayOf().find()).toEqual(LED);
});

test("asks to be led back once it was let in, and for any node when that did not work", async () => {
  const way = wayOf();
  await way.find();
  way.arrived();
  await way.find();
  way.failed();
  await way.find();
  expect(asked).toEqual(["", "?resume=resume-b", ""]);
});

test("gives up being led after two misses in a row, until its own address is no better", async () => {
  const way = wayOf();
  const stops = [];
  for (const works of [false, true, false, false, true, true, false, true]) {
    stops.push(await way.find());
    if (works) way.arrived();
    else way.failed();
  }
  expect(stops).toEqual([LED, LED, LED, LED, BACK, BACK, BACK, LED]);
});

test.each([
  ["a server that does not know the question", refused(404, "not_found")],
  ["a server that was asked too often", refused(429, "rate_limited")],
  ["a proxy without a server", () => new Response("<h1>Bad gateway</h1>", { status: 502 })],
  ["a page instead of an answer", () => new Response("<!doctype html>")],
  ["no connection", () => Promise.reject(new TypeError("away"))],
  ["an empty answer", () => Response.json({})],
  ["no map", () => Response.json(["ws://b/ws"])],
  ["no text", told({ url: 5 })],
  ["no token", told({ url: "ws://b/ws", resume: undefined })],
  ["no address", told({ url: "b/ws" })],
  ["no host", told({ url: "ws://" })],
  ["http", told({ url: "http://b/ws" })],
  ["a script", told({ url: "javascript:alert(1)" })],
  ["a password", told({ url: "ws://user:password@b/ws" })],
  ["a fragment", told({ url: "ws://b/ws#x" })],
])("goes to its own address for %s", async (_name, given) => {
  answer = given;
  expect(await wayOf().find()).toEqual(BACK);
});

test("is not led away from TLS", async () => {
  const [api, own] = ["https://node", "wss://node/ws"];
  expect(await wayOf(own, api).find()).toEqual({ url: own, token: "access" });
  answer = told({ url: "wss://b/ws" });
  expect(await wayOf(own, api).find()).toMatchObject({ url: "wss://b/ws" });
});

test("reaches the server that was asked as it is configured", async () => {
  answer = told({ url: "ws://node/ws" });
  const own = "ws://sockets.example/below/ws";
  expect(await wayOf(own).find()).toEqual({ url: own, token: "resume-b" });
});

test("asks a node that is alone once, whatever becomes of the connection", async () => {
  answer = told({ url: "ws://node/ws", alone: true });
  const way = wayOf();
  expect(await way.find()).toEqual({ url: OWN, token: "resume-b" });
  way.failed();
  expect(await way.find()).toEqual(BACK);
  expect(asked).toEqual([""]);
});

test("does not wait for an answer that does not come", async () => {
  answer = () => new Promise(() => {});
  const found = vi.fn();
  void wayOf().find().then(found);
  await vi.advanceTimersByTimeAsync(2900);
  expect(found).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(200);
  expect(found).toHaveBeenCalledExactlyOnceWith(BACK);
});

test("says so when nobody is signed in any more", async () => {
  answer = refused(401, "unauthenticated");
  await expect(wayOf().find()).rejects.toMatchObject({ code: "unauthenticated" });
});
