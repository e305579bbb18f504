import { describe, expect, test } from "vitest";
import vectors from "../../../tests/vectors/mentions.json" with { type: "json" };
import { type Block, type Inline, inline, parse, safeHref } from "../src/text/markdown.ts";

describe("one line", () => {
  test.each([
    ["plain", ["plain"]],
    ["**bold** text", [{ type: "strong", children: ["bold"] }, " text"]],
    ["*a* and _b_", [{ type: "emphasis", children: ["a"] }, " and ", { type: "emphasis", children: ["b"] }]],
    ["~~gone~~", [{ type: "strike", children: ["gone"] }]],
    ["**a *b* c**", [{ type: "strong", children: ["a ", { type: "emphasis", children: ["b"] }, " c"] }]],
    ["`**x**`", [{ type: "code", text: "**x**" }]],
    ["2 * 3 * 4", ["2 * 3 * 4"]],
    ["snake_case_name", ["snake_case_name"]],
    ["**never closed", ["**never closed"]],
    ["`", ["`"]],
    ["", []],
  ])("%s", (text, expected) => expect(inline(text)).toEqual(expected));

  test("an address is a link, without what follows it in the sentence", () => {
    expect(inline("see https://example.org/a_(b). Then")).toEqual([
      "see ",
      { type: "link", href: "https://example.org/a_(b)", children: ["https://example.org/a_(b)"] },
      ". Then",
    ]);
    expect(inline("(https://example.org)")).toEqual([
      "(",
      { type: "link", href: "https://example.org/", children: ["https://example.org"] },
      ")",
    ]);
  });

  test("a named link shows its name", () => {
    expect(inline("[here](https://example.org/x)")).toEqual([
      { type: "link", href: "https://example.org/x", children: ["here"] },
    ]);
  });

  test.each([
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "//evil",
    "https://a:b@evil/",
  ])("%s is no link", (address) => {
    expect(safeHref(address)).toBeUndefined();
    expect(inline(`[x](${address})`).every((part) => typeof part === "string" || part.type !== "link")).toBe(
      true,
    );
  });
});

test("blocks are told apart by how their lines begin", () => {
  const text = "first\nsecond\n\n> said\n- one\n- two\n1. a\n```\n<b>code</b>\n```\nend";
  expect(parse(text)).toEqual([
    { type: "paragraph", lines: [["first"], ["second"]] },
    { type: "quote", lines: [["said"]] },
    { type: "list", ordered: false, items: [["one"], ["two"]] },
    { type: "list", ordered: true, items: [["a"]] },
    { type: "code", text: "<b>code</b>" },
    { type: "paragraph", lines: [["end"]] },
  ]);
});

test("a fence that is never closed is text", () => {
  expect(parse("```\nx")).toEqual([{ type: "paragraph", lines: [["```"], ["x"]] }]);
});

/** The names that stand out in a text. */
function shown(text: string): string[] {
  const names = (part: Inline): string[] => {
    if (typeof part === "string" || part.type === "code") return [];
    return part.type === "mention" ? [part.name] : part.children.flatMap(names);
  };
  const lines = (block: Block) =>
    block.type === "code" ? [] : block.type === "list" ? block.items : block.lines;
  return [...new Set(parse(text).flatMap(lines).flat().flatMap(names))];
}

test.each(vectors.filter(({ text }) => !text.includes("`")))("$text mentions $names", ({ text, names }) =>
  expect(shown(text)).toEqual(names),
);

test("mentions stand out in what is formatted, and not in code", () => {
  expect(shown("hi @Bob, **@cleo.** and *@[New Ada]*; not `@ada`\n> @Świątek")).toEqual([
    "Bob",
    "cleo",
    "New Ada",
    "Świątek",
  ]);
});

test.each(["*", "**a", "[", "[a](", "`", "_a ", "https://", "@", "~~", "> ", "- ", "```\n", "[a](b", "*a_b"])(
  "%j, again and again, takes no time",
  (piece) => {
    const text = piece.repeat(Math.ceil(16_384 / piece.length));
    const started = performance.now();
    parse(text);
    expect(performance.now() - started).toBeLessThan(1000);
  },
);
