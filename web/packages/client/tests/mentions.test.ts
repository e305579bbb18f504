import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { foldName, mentionOf, mentionsIn } from "../src/mentions.ts";

const VECTORS = join(import.meta.dirname, "..", "..", "..", "..", "tests", "vectors", "mentions.json");
const cases: { text: string; names: string[] }[] = JSON.parse(readFileSync(VECTORS, "utf8"));

test.each(cases)("$text mentions $names", ({ text, names }) => expect(mentionsIn(text)).toEqual(names));

test.each([
  ["bob", "@bob"],
  ["anna.maria", "@anna.maria"],
  ["New Ada", "@[New Ada]"],
  ["bob.", "@[bob.]"],
  ["o'neil", "@[o'neil]"],
  ["a]b", undefined],
])("%s is mentioned as %s", (name, written) => {
  expect(mentionOf(name)).toBe(written);
  if (written) expect(mentionsIn(`hi ${written}, how are you?`)).toEqual([name]);
});

test("spelling makes no other name", () => expect(foldName(" New  ADA ")).toBe(foldName("new Ada")));
