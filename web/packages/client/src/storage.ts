/** Where an outbox is kept: in the browser's database, or in memory. */

import type { OutboxStorage, StoredMessage } from "./outbox.ts";
import type { UserId } from "./protocol.ts";

/** For Node, and where nothing is to survive. */
export class MemoryStorage implements OutboxStorage {
  readonly #messages = new Map<string, StoredMessage>();

  async load(user: UserId): Promise<StoredMessage[]> {
    return byOrder([...this.#messages.values()].filter((message) => message.user === user));
  }

  async put(message: StoredMessage): Promise<void> {
    this.#messages.set(message.key, message);
  }

  async remove(key: string): Promise<void> {
    this.#messages.delete(key);
  }
}

/** For browsers: survives reloads and crashes, and is shared by tabs (keys make that safe). */
export class IndexedDbStorage implements OutboxStorage {
  readonly #name: string;
  #database: Promise<IDBDatabase> | undefined;

  constructor(name = "chat-gateway") {
    this.#name = name;
  }

  async load(user: UserId): Promise<StoredMessage[]> {
    const all = await this.#run("readonly", (store) => store.getAll() as IDBRequest<StoredMessage[]>);
    return byOrder(all.filter((message) => message.user === user));
  }

  async put(message: StoredMessage): Promise<void> {
    await this.#run("readwrite", (store) => store.put(message));
  }

  async remove(key: string): Promise<void> {
    await this.#run("readwrite", (store) => store.delete(key));
  }

  async #run<T>(mode: IDBTransactionMode, request: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    this.#database ??= open(this.#name);
    const transaction = (await this.#database).transaction("outbox", mode);
    const asked = request(transaction.objectStore("outbox"));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

function open(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("outbox", { keyPath: "key" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function byOrder(messages: StoredMessage[]): StoredMessage[] {
  return messages.sort((a, b) => a.order - b.order);
}
