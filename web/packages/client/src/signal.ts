/** One value that changes, and those who want to know. */

export type Listener = () => void;

export class Signal {
  readonly #listeners = new Set<Listener>();

  /** Returns what ends the subscription. */
  readonly subscribe = (listener: Listener): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  protected notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Holds a snapshot that is replaced, never changed: what React calls an external store. */
export class Store<T extends object> extends Signal {
  #state: T;

  constructor(state: T) {
    super();
    this.#state = state;
  }

  get state(): T {
    return this.#state;
  }

  readonly snapshot = (): T => this.#state;

  protected update(change: Partial<T>): void {
    this.#state = { ...this.#state, ...change };
    this.notify();
  }
}
