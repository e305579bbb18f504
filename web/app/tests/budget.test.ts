/** What is sent to a browser at the first visit stays small, and needs nothing that the policy forbids. */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const DIST = join(import.meta.dirname, "..", "dist");
const MAX_SCRIPT_BYTES = 150 * 1024;
const MAX_STYLE_BYTES = 20 * 1024;
const MAX_FONT_BYTES = 60 * 1024;

function sizeOf(suffix: string): number {
  const names = readdirSync(join(DIST, "assets")).filter((name) => name.endsWith(suffix));
  expect(names).not.toHaveLength(0);
  return names.reduce((sum, name) => sum + statSync(join(DIST, "assets", name)).size, 0);
}

describe.skipIf(!existsSync(DIST))("the built page", () => {
  test("has little script, compressed", () => {
    expect(sizeOf(".js.gz")).toBeLessThan(MAX_SCRIPT_BYTES);
    expect(sizeOf(".js.br")).toBeLessThan(MAX_SCRIPT_BYTES);
  });

  test("has little style, compressed", () => expect(sizeOf(".css.gz")).toBeLessThan(MAX_STYLE_BYTES));

  test("needs one small font for most of its readers", () => {
    expect(
      statSync(
        join(DIST, "assets", readdirSync(join(DIST, "assets")).find((name) => /latin-wght/.test(name)) ?? ""),
      ).size,
    ).toBeLessThan(MAX_FONT_BYTES);
  });

  test("has no inline code, and nothing from elsewhere", () => {
    const page = readFileSync(join(DIST, "index.html"), "utf8");
    expect(page).not.toMatch(/<script(?![^>]*\ssrc=)/);
    expect(page).not.toMatch(/<style|style=|\son\w+=/);
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
  });

  test("names its files by their content", () => {
    for (const name of readdirSync(join(DIST, "assets"))) expect(name).toMatch(/-[\w-]{8}\.\w+(\.(br|gz))?$/);
  });

  test("carries no path of the machine it was built on", () => {
    for (const name of readdirSync(join(DIST, "assets")).filter((name) => /\.(js|css)$/.test(name))) {
      expect(readFileSync(join(DIST, "assets", name), "utf8")).not.toContain(
        join(import.meta.dirname, "..", ".."),
      );
    }
  });
});
