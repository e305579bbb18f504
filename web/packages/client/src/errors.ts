/** What can go wrong, by who must act. */

import { isMap } from "./protocol.ts";

/** The server refused a request; the connection stays. Programs go by `code`, people read `message`. */
export class Refused extends Error {
  override name = "Refused";
  readonly code: string;
  readonly retryable: boolean;
  /** Milliseconds to wait before another try, if the server said so. */
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, retryable = false, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }

  /** From the map in `err` on a socket, or in `error` of an HTTP answer. */
  static parse(value: unknown): Refused {
    const map = isMap(value) ? value : {};
    return new Refused(
      typeof map.code === "string" ? map.code : "internal",
      typeof map.message === "string" ? map.message : "something went wrong",
      map.retryable === true,
      typeof map.retry_after_ms === "number" ? map.retry_after_ms : undefined,
    );
  }
}

/** The connection is away, or no answer came in time: whether the request was carried out is unknown. */
export class ConnectionLost extends Error {
  override name = "ConnectionLost";
}

/** What to do after a connection ended with a code (section 7 of the protocol). */
export type AfterClose = "reconnect" | "reconnect_slowly" | "new_token" | "signed_out" | "banned" | "give_up";

const FINAL = new Set([1002, 1003, 1007, 1009]);
const SLOWLY = new Set([1008, 1011, 1013]);

/** 4000 to 4499 mean: connect again; 4500 to 4999: something must change first. */
export function afterClose(code: number): AfterClose {
  if (code === 4501) return "new_token";
  if (code === 4503) return "signed_out";
  if (code === 4504) return "banned";
  if (FINAL.has(code) || (code >= 4500 && code <= 4999)) return "give_up";
  return SLOWLY.has(code) ? "reconnect_slowly" : "reconnect";
}
