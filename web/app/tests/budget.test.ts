/** What is sent to a browser at the first visit stays small, and needs nothing that the policy forbids. */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const DIST = join(import.meta.dirname, "..", "dist");
const ASSETS = join(DIST, "assets");
const MAX_SCRIPT_BYTES = 150 * 1024;
const MAX_STYLE_BYTES = 20 * 1024;
const MAX_FONT_BYTES = 60 * 1024;
const MAX_LAZY_BYTES = 30 * 1024;

/** Names of the built files, without their compressed variants. */
function built(suffix: RegExp): string[] {
  return readdirSync(ASSETS).filter((name) => suffix.test(name));
}

/** What the page itself asks for. */
function first(suffix: RegExp): string[] {
  const page = readFileSync(join(DIST, "index.html"), "utf8");
  const names = [...page.matchAll(/(?:src|href)="\.\/assets\/([^"]+)"/g)].map(([, name]) => name as string);
  return names.filter((name) => suffix.test(name));
}

function compressed(names: string[], coding: "br" | "gz"): number {
  return names.reduce((sum, name) => sum + statSync(join(ASSETS, `${name}.${coding}`)).size, 0);
}

describe.skipIf(!existsSync(DIST))("the built page", () => {
  test("has little script at the first visit, compressed", () => {
    expect(compressed(first(/\.js$/), "gz")).toBeLessThan(MAX_SCRIPT_BYTES);
    expect(compressed(first(/\.js$/), "br")).toBeLessThan(MAX_SCRIPT_BYTES);
  });

  test("has little style, compressed", () =>
    expect(compressed(built(/\.css$/), "gz")).toBeLessThan(MAX_STYLE_BYTES));

  test("asks for one script and one sheet; what few people need is loaded when they do", () => {
    expect([first(/\.js$/).length, first(/\.css$/).length]).toEqual([1, 1]);
    const later = built(/\.js$/).filter((name) => !first(/\.js$/).includes(name));
    expect(later.map((name) => name.split("-")[0])).toEqual(["Admin"]);
    expect(compressed(later, "gz")).toBeLessThan(MAX_LAZY_BYTES);
  });

  test("brings no source maps", () => {
    expect(built(/\.map$/)).toEqual([]);
    for (const name of built(/\.(js|css)$/))
      expect(readFileSync(join(ASSETS, name), "utf8")).not.toContain("sourceMappingURL");
  });

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
