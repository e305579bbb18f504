import { act } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RichText } from "../src/text/RichText.tsx";
import corpus from "./xss.json" with { type: "json" };

let root: Root;
let container: HTMLElement;

beforeEach(() => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  container = document.createElement("div");
  root = createRoot(container);
});

afterEach(() => act(() => root.unmount()));

function draw(text: string): HTMLElement {
  act(() => root.render(<RichText text={text} self="Ada" />));
  return container;
}

const ALLOWED = new Set("DIV P BR STRONG EM S CODE PRE BLOCKQUOTE UL OL LI SPAN A".split(" "));

test.each(corpus)("%s stays text", (text) => {
  for (const element of draw(text).querySelectorAll("*")) {
    expect(ALLOWED).toContain(element.tagName);
    for (const { name } of element.attributes)
      expect(["class", "href", "title", "target", "rel"]).toContain(name);
    const href = element.getAttribute("href");
    if (href !== null) expect(href).toMatch(/^(https?|mailto):/);
  }
});

test("links open elsewhere and tell nothing of where they were", () => {
  const link = draw("https://example.org/").querySelector("a");
  expect(link?.rel).toBe("noopener noreferrer nofollow");
  expect(link?.target).toBe("_blank");
});

test("a mention of the reader stands out", () => {
  draw("@ada and @bob");
  expect([...container.querySelectorAll(".mention")].map((it) => it.className)).toEqual([
    "mention mention-mine",
    "mention",
  ]);
});
