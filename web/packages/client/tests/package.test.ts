/** What `npm publish` would send, and that it works where there is nothing but Node. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const PACKAGE = join(import.meta.dirname, "..");
const MODULES = join(PACKAGE, "..", "..", "node_modules");
const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"));

let directory: string;
let packed: { files: { path: string }[]; filename: string; size: number };

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "chat-package-"));
  const args = ["pack", "--json", "--pack-destination", directory];
  [packed] = JSON.parse(execFileSync("npm", args, { cwd: PACKAGE, encoding: "utf8", stdio: "pipe" }));
  execFileSync("tar", ["-xzf", join(directory, packed.filename), "-C", directory]);
  symlinkSync(MODULES, join(directory, "node_modules"));
}, 120_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("holds the built modules with their types, the sources, a manual and a licence, and nothing else", () => {
  const names = packed.files.map(({ path }) => path);
  const modules = names
    .filter((name) => name.startsWith("src/"))
    .map((name) => name.replace(/^src\/(.*)\.ts$/, "$1"));
  expect(modules).toContain("client");
  const built = modules.flatMap((name) => [`dist/${name}.js`, `dist/${name}.d.ts`, `src/${name}.ts`]);
  expect(names.toSorted()).toEqual(["LICENSE", "README.md", "package.json", ...built].sort());
  expect(packed.size).toBeLessThan(100_000);
});

test("has what a registry asks for", () => {
  expect(manifest.private).toBeUndefined();
  for (const field of ["name", "version", "description", "license", "keywords"])
    expect(manifest[field]).toBeTruthy();
  expect(Object.keys(manifest.exports["."])).toEqual(["source", "types", "default"]);
  for (const path of [manifest.types, ...Object.values<string>(manifest.exports["."])])
    expect(packed.files.map((file) => `./${file.path}`)).toContain(path);
});

test("is what plain Node can load", () => {
  const script = `
    import * as chat from ${JSON.stringify(join(directory, "package", "dist", "index.js"))};
    const { cbor } = chat;
    console.log(JSON.stringify([Object.keys(chat), cbor.decode(cbor.encode({ a: [1, "x"] }))]));
  `;
  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: directory,
    encoding: "utf8",
  });
  const [names, value] = JSON.parse(output);
  expect(names).toEqual(expect.arrayContaining(["ChatClient", "HttpApi", "Room", "Refused", "cbor", "json"]));
  expect(value).toEqual({ a: [1, "x"] });
});
