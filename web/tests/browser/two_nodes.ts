/** Two nodes of one cluster, `a` and `b`: the processes of `two_nodes.py`. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { environment } from "./node.ts";
import { PYTHON } from "./places.ts";

export interface Addresses {
  a: string;
  b: string;
}

export class TwoNodes {
  private constructor(
    readonly urls: Addresses,
    readonly directory: string,
    readonly process: ChildProcess,
  ) {}

  /** Starts all, and waits until both nodes serve. */
  static async start(): Promise<TwoNodes> {
    const directory = mkdtempSync(join(tmpdir(), "chat-web-"));
    const child = spawn(PYTHON, [join(import.meta.dirname, "two_nodes.py"), directory], {
      env: environment(),
      stdio: ["pipe", "pipe", "inherit"],
    });
    for await (const line of createInterface(child.stdout)) {
      return new TwoNodes(JSON.parse(line) as Addresses, directory, child);
    }
    rmSync(directory, { recursive: true, force: true });
    throw new Error("the nodes did not start");
  }

  /** SIGKILL. */
  kill(node: keyof Addresses): void {
    this.process.stdin?.write(`${node}\n`);
  }

  /** Ends all, and waits until it is gone. */
  async remove(): Promise<void> {
    const gone = once(this.process, "exit");
    this.process.stdin?.end();
    await gone;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
