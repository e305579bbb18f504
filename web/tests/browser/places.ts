/** Where things are on this machine. */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

export const ROOT = join(import.meta.dirname, "..", "..", "..");
export const PYTHON = process.env.CHAT_PYTHON ?? join(ROOT, ".venv", "bin", "python");
export const PAGE = join(ROOT, "chat", "http_api", "static", "index.html");

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The browser in PATH, if there is one. */
export function findChromium(): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders
    .flatMap((folder) => BROWSERS.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}
