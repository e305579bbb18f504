/** A real node: `chat-gateway serve` as a child process, with a data directory of its own. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HttpApi } from "chat-gateway-client";
import { PYTHON, ROOT } from "./places.ts";

const START_MS = 60_000;
export const PASSWORD = "correct horse";

/** What a test does in seconds, people do in hours. */
const UNLIMITED = [
  "LOGIN_PER_ADDRESS",
  "LOGIN_PER_NAME",
  "REGISTER_PER_ADDRESS",
  "CREATE_ROOM_PER_USER",
  "INVITE_PER_TARGET",
  "WRITE_PER_USER",
  "PUBLISH_PER_USER",
  "PUBLISH_PER_ROOM",
];

export class Node {
  readonly directory = mkdtempSync(join(tmpdir(), "chat-web-"));
  readonly url: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async create(): Promise<Node> {
    return new Node(await freePort());
  }

  get dataDirectory(): string {
    return join(this.directory, "data");
  }

  /** Starts it, for the first time or again, and waits until it serves. */
  async start(): Promise<void> {
    const args = ["-m", "chat.cli", "serve", "--port", String(this.#port), "--data-dir", this.dataDirectory];
    const child = spawn(PYTHON, args, {
      cwd: this.directory,
      env: environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    let output = "";
    child.stderr.on("data", (data) => {
      output = (output + data).slice(-4000);
    });
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the node did not start\n${output}`)), START_MS);
      child.stdout.on("data", (data) => {
        if (String(data).includes("listening on")) resolve();
      });
      child.on("exit", (code) => reject(new Error(`the node ended with ${code}\n${output}`)));
      child.on("spawn", () => child.once("exit", () => clearTimeout(late)));
    });
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  /** Makes somebody an administrator, which is done while the node is down. */
  async promote(name: string): Promise<void> {
    await this.kill();
    const args = ["-m", "chat.cli", "user", "promote", name, "--data-dir", this.dataDirectory];
    execFileSync(PYTHON, args, { cwd: this.directory, env: environment() });
    await this.start();
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A new account, signed in outside of any browser. */
  user(name: string): Promise<HttpApi> {
    return signUp(this.url, name);
  }
}

/** A new account of the node at `url`, signed in outside of any browser. */
export async function signUp(url: string, name: string): Promise<HttpApi> {
  const api = new HttpApi(url);
  await api.register(name, PASSWORD);
  await api.signIn(name, PASSWORD);
  return api;
}

/** Without the settings of whoever runs the tests. */
export function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("CHAT_GATEWAY_"));
  const rates = UNLIMITED.map((name) => [`CHAT_GATEWAY_${name}_PER_SECOND`, "0"]);
  return { ...Object.fromEntries([...inherited, ...rates]), PYTHONPATH: ROOT };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
