/** Which node to connect to, as the server says; where it says nothing of use, the address that is configured. */

import { Refused } from "./errors.ts";
import type { HttpApi } from "./http.ts";
import type { WireMap } from "./protocol.ts";

/** Every node takes every client, so nobody waits long to hear of a better one … */
const ASK_MS = 3_000;
/** … or for one that may be dead. */
const LED_MS = 5_000;
/** So many in a row that do not let us in: from here they are out of reach. */
const MAX_MISSES = 2;

/** Where to open a socket. */
export interface Stop {
  url: string;
  /** What to show there. */
  token: string;
  /** How long to wait for it; undefined: as long as ever. */
  withinMs?: number;
}

/** Asks before each connection, unless there is but one node, and bears in mind where the last one was. */
export class Way {
  readonly #api: HttpApi;
  readonly #own: string;
  #isAlone = false;
  #isLed = false;
  #misses = 0;
  /** Leads back to the node that we were on. */
  #resume = "";
  #offered = "";

  /** `own` is the address to go to without an answer. */
  constructor(api: HttpApi, own: string) {
    this.#api = api;
    this.#own = own;
  }

  /** The address to try next. Throws: Refused (unauthenticated), ConnectionLost. */
  async find(): Promise<Stop> {
    this.#isLed = false;
    const token = await this.#api.token();
    const asks = !this.#isAlone && this.#misses < MAX_MISSES;
    const stop = asks ? await this.#ask() : undefined;
    this.#offered = stop?.token ?? this.#resume;
    this.#isLed = stop !== undefined && stop.url !== this.#own;
    return stop ?? { url: this.#own, token };
  }

  /** The node has let us in: the next way begins there. Who had to give up asking keeps to what works. */
  arrived(): void {
    this.#resume = this.#offered;
    if (this.#misses < MAX_MISSES) this.#misses = 0;
  }

  /** It did not work. Any other node will do; and if our own address is no better, we ask again. */
  failed(): void {
    if (this.#isLed) this.#resume = "";
    this.#misses = this.#isLed ? this.#misses + 1 : 0;
  }

  async #ask(): Promise<Stop | undefined> {
    const query = this.#resume ? `?resume=${encodeURIComponent(this.#resume)}` : "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), ASK_MS);
    });
    try {
      const answer = await Promise.race([this.#api.request("GET", `/api/connect${query}`), late]);
      return answer && this.#parse(answer);
    } catch (error) {
      if (error instanceof Refused && error.code === "unauthenticated") throw error;
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Nothing but the address of a socket, and not without TLS if our own has it. The server that was asked names
   * itself as it was asked for; how to get from here to its socket, our own address knows better.
   */
  #parse({ url, resume, alone }: WireMap): Stop | undefined {
    this.#isAlone = alone === true;
    if (typeof url !== "string" || typeof resume !== "string" || !resume || !URL.canParse(url))
      return undefined;
    const { href, protocol, host, username, password, hash } = new URL(url);
    const isSocket = protocol === "wss:" || (protocol === "ws:" && !this.#own.startsWith("wss:"));
    if (!isSocket || username || password || hash) return undefined;
    if (host === this.#api.host) return { url: this.#own, token: resume };
    return { url: href, token: resume, withinMs: LED_MS };
  }
}
