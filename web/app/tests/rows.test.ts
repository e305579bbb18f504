import type { Message, Pending } from "chat-gateway-client";
import { describe, expect, test } from "vitest";
import { day } from "../src/format.ts";
import { completionsFor } from "../src/room/mentions.ts";
import { rowsOf } from "../src/room/rows.ts";

const NOON = new Date(2026, 6, 1, 12).getTime();
const MINUTE = 60_000;

function message(seq: number, ts: number, user = "u1"): Message {
  return { seq, ts, user, name: user, key: `k${seq}`, body: { text: `${seq}` }, revision: 0, deleted: false };
}

describe("rows", () => {
  test("messages of one sender stand together for a while", () => {
    const rows = rowsOf(
      [message(1, NOON), message(2, NOON + MINUTE), message(3, NOON + 9 * MINUTE)],
      [],
      undefined,
    );
    expect(rows.map(({ isHead }) => isHead)).toEqual([true, false, true]);
  });

  test("another sender, another day and the first unread message begin anew", () => {
    const messages = [message(1, NOON), message(2, NOON, "u2"), message(3, NOON + 1), message(4, NOON + 2)];
    const rows = rowsOf([...messages, message(5, NOON + 24 * 60 * MINUTE)], [], 4);
    expect(rows.map(({ isHead }) => isHead)).toEqual([true, true, true, true, true]);
    expect(rows.map(({ isFirstUnread }) => isFirstUnread)).toEqual([false, false, false, true, false]);
    expect(rows.map(({ day }) => day !== undefined)).toEqual([true, false, false, false, true]);
  });

  test("the mark is not where reading cannot have stopped: before a window that begins later", () => {
    const rows = rowsOf([message(7, NOON), message(8, NOON)], [], 5);
    expect(rows.map(({ isFirstUnread }) => isFirstUnread)).toEqual([false, false]);
  });

  test("a message keeps its row when it is acknowledged", () => {
    const pending: Pending = {
      ...{ key: "k1", user: "u1", room: "r", body: {}, order: NOON },
      ...{ state: "waiting", position: undefined, error: undefined },
    };
    expect(rowsOf([], [pending], undefined)[0]?.key).toBe(rowsOf([message(1, NOON)], [], undefined)[0]?.key);
  });
});

test("days are named as people name them", () => {
  expect(day(NOON, NOON)).toMatch(/today/i);
  expect(day(NOON - 24 * 60 * MINUTE, NOON)).toMatch(/yesterday/i);
  expect(day(NOON - 400 * 24 * 60 * MINUTE, NOON)).toContain("2025");
});

describe("completions", () => {
  const people = ["Ada", "Adam", "Bob", "Bob Brown"].map((name, index) => ({ id: `u${index}`, name }));
  const names = (text: string, caret = text.length) =>
    completionsFor(text, caret, people, "u2")?.users.map(({ name }) => name);

  test("are those whose names begin so, oneself left out", () => {
    expect(names("hello @ad")).toEqual(["Ada", "Adam"]);
    expect(names("hello @b")).toEqual(["Bob Brown"]);
    expect(names("@")).toEqual(["Ada", "Adam", "Bob Brown"]);
    expect(completionsFor("hello @ad", 9, people, "u2")?.start).toBe(6);
  });

  test("are not offered in the middle of a word, or for what is complete", () => {
    expect(names("mail@ad")).toBeUndefined();
    expect(names("@adam")).toBeUndefined();
    expect(names("@ada")).toBeUndefined();
    expect(names("@ad later", 9)).toBeUndefined();
  });
});
