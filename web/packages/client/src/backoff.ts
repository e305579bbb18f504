/** When to try again. */

const BASE_MS = 500;
const CAP_MS = 20_000;
const LASTING_MS = 5_000;

/** A random pause before try number `attempt` (from 0), so that many clients do not come back together. */
export function fullJitter(attempt: number): number {
  return Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 16));
}

/** The pauses of one client's reconnects. It never gives up. */
export class Backoff {
  #attempt = 0;

  /** Milliseconds to wait. What the server asked for counts as it is: it is spread already. */
  pause(asked?: number): number {
    return asked ?? fullJitter(this.#attempt++);
  }

  /** A connection was up that long; one that falls at once was no success. */
  lasted(ms: number): void {
    if (ms >= LASTING_MS) this.#attempt = 0;
  }
}
