/** The cable between one browser and the node, which can be pulled: nothing passes, and nobody is told. */

import { createServer, type Server, Socket } from "node:net";

export class Cable {
  readonly #server: Server;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #isPulled = false;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((near) => this.#carry(near));
  }

  /** To the node at `url`. */
  static async to(url: string): Promise<Cable> {
    const cable = new Cable(Number(new URL(url).port));
    await new Promise<void>((resolve) => cable.#server.listen(0, "127.0.0.1", resolve));
    return cable;
  }

  /** Where the browser finds the node. */
  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  }

  pull(): void {
    this.#isPulled = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** New connections work again; the old ones are found to be broken. */
  plugIn(): void {
    this.#isPulled = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  remove(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #carry(near: Socket): void {
    const far = new Socket();
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on("data", (data) => to.write(data));
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
    if (this.#isPulled) near.pause();
    else far.connect(this.#target, "127.0.0.1");
  }
}
