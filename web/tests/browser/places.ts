/** Where things are on this machine. */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

export const ROOT = join(import.meta.dirname, "..", "..", "..");
export const PYTHON = process.env.CHAT_PYTHON ?? join(ROOT, ".venv", "bin", "python");
export const PAGE = join(ROOT, "chat", "http_api", "static", "index.html");

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/** Where servers are, and which the PATH of a user often leaves out. */
const SYSTEM_FOLDERS = ["/usr/sbin", "/usr/local/sbin"];

/** The browser in PATH, if there is one. */
export function findChromium(): string | undefined {
  return find(BROWSERS);
}

/** What a cluster is made of is installed. */
export function hasServers(): boolean {
  return find(["redis-server"]) !== undefined && find(["mariadbd", "mysqld"]) !== undefined;
}

/** The first of some programs that is there, folder by folder. */
function find(names: string[]): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM_FOLDERS];
  return folders
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}
