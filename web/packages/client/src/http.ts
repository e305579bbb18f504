/** The HTTP side: accounts, rooms, members. The access token lives in memory only; the cookie is out of reach. */

import { ConnectionLost, Refused } from "./errors.ts";
import { isMap, type Role, type RoomId, type User, type UserId, type WireMap } from "./protocol.ts";

export type RoomKind = "public" | "private" | "direct";

export interface RoomInfo {
  id: RoomId;
  kind: RoomKind;
  name: string;
}

/** One of the user's own rooms; `title` is the other's name in a direct room. */
export interface RoomSummary extends RoomInfo {
  title: string;
  role: Role;
  top_seq: number;
  read_seq: number;
  unread: number;
  /** The positions of unread messages that mention the user. */
  mentions: number[];
}

export interface Member {
  id: UserId;
  name: string;
  role: Role | "banned";
  read_seq: number;
}

/** Who is signed in; `admin` may use the operator's side of the API. */
export interface Account extends User {
  admin?: boolean;
}

interface Token {
  access_token: string;
  expires_in: number;
  user: Account;
}

const PAGE = 200;
const TIMEOUT_MS = 20_000;
/** A token is renewed that long before it ends. */
const MARGIN_MS = 60_000;

/** Every method throws `Refused`, or `ConnectionLost` if the server cannot be reached. */
export class HttpApi {
  /** Who is signed in. */
  user: Account | undefined;
  readonly #base: string;
  #token = "";
  #expires = 0;
  #renewal: Promise<string> | undefined;

  /** `base` is where `/api` is, without a slash at the end; empty for the page's own origin. */
  constructor(base = "") {
    this.#base = base;
  }

  /** The host that is asked, with its port if that is not the usual one. */
  get host(): string {
    return new URL(this.#base, globalThis.location?.href).host;
  }

  async register(name: string, password: string): Promise<User> {
    return ((await this.#fetch("POST", "/api/register", { name, password })) as { user: User }).user;
  }

  async signIn(name: string, password: string): Promise<Account> {
    return this.#keep(await this.#fetch("POST", "/api/login", { name, password }));
  }

  async signOut(): Promise<void> {
    await this.#fetch("POST", "/api/logout", {});
    this.#token = "";
    this.user = undefined;
  }

  /** A valid access token; a new one by the session's cookie if it is about to end, or if `renew`. */
  async token(renew = false): Promise<string> {
    if (this.#token && !renew && Date.now() < this.#expires - MARGIN_MS) return this.#token;
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async rooms(): Promise<RoomSummary[]> {
    return ((await this.request("GET", "/api/rooms")) as { rooms: RoomSummary[] }).rooms;
  }

  /** Rooms that everybody may join, a page at a time, from the one after `after` on. */
  async publicRooms(after?: RoomId): Promise<{ rooms: RoomInfo[]; more: boolean }> {
    const query = `?public=true&limit=${PAGE}${after ? `&after=${after}` : ""}`;
    const { rooms } = (await this.request("GET", `/api/rooms${query}`)) as { rooms: RoomInfo[] };
    return { rooms, more: rooms.length === PAGE };
  }

  async createRoom(name: string, kind: "public" | "private"): Promise<RoomInfo> {
    return ((await this.request("POST", "/api/rooms", { name, kind })) as { room: RoomInfo }).room;
  }

  async direct(user: UserId): Promise<RoomInfo> {
    return ((await this.request("POST", "/api/direct", { user })) as { room: RoomInfo }).room;
  }

  async join(room: RoomId): Promise<RoomInfo> {
    return ((await this.request("POST", `/api/rooms/${room}/join`, {})) as { room: RoomInfo }).room;
  }

  async leave(room: RoomId): Promise<void> {
    await this.request("POST", `/api/rooms/${room}/leave`, {});
  }

  /** At most 2,000; larger rooms are not for reading through. */
  async members(room: RoomId): Promise<Member[]> {
    const found: Member[] = [];
    for (let full = true; full && found.length < 2000; ) {
      const after = found.at(-1);
      const query = `?limit=${PAGE}${after ? `&after=${after.id}` : ""}`;
      const { members } = (await this.request("GET", `/api/rooms/${room}/members${query}`)) as {
        members: Member[];
      };
      found.push(...members);
      full = members.length === PAGE;
    }
    return found;
  }

  /** Invites (`member`), promotes, demotes, bans. */
  async setRole(room: RoomId, user: UserId, role: Role | "banned"): Promise<void> {
    await this.request("PUT", `/api/rooms/${room}/members/${user}`, { role });
  }

  /** Removes a member, or lifts a ban. */
  async removeMember(room: RoomId, user: UserId): Promise<void> {
    await this.request("DELETE", `/api/rooms/${room}/members/${user}`);
  }

  /** The user of that name. Throws: Refused (not_found). */
  async findUser(name: string): Promise<User> {
    return ((await this.request("GET", `/api/users?name=${encodeURIComponent(name)}`)) as { user: User })
      .user;
  }

  /** Any other request of the HTTP API, as the signed-in user; the answer's JSON, empty if there is none. */
  async request(method: string, path: string, body?: WireMap): Promise<WireMap> {
    try {
      return await this.#fetch(method, path, body, await this.token());
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== "unauthenticated") throw error;
      return this.#fetch(method, path, body, await this.token(true));
    }
  }

  async #renew(): Promise<string> {
    this.#keep(await this.#fetch("POST", "/api/token", {}));
    return this.#token;
  }

  #keep(answer: WireMap): Account {
    const { access_token, expires_in, user } = answer as unknown as Token;
    this.#token = access_token;
    this.#expires = Date.now() + expires_in * 1000;
    this.user = user;
    return user;
  }

  async #fetch(method: string, path: string, body?: WireMap, token?: string): Promise<WireMap> {
    const headers: Record<string, string> = {};
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    const content = body ? { body: JSON.stringify(body) } : {};
    let answer: Response;
    let value: unknown;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      answer = await fetch(this.#base + path, {
        method,
        headers,
        credentials: "include",
        signal,
        ...content,
      });
      value = answer.status === 204 ? {} : await answer.json();
    } catch (error) {
      throw new ConnectionLost(`the server cannot be reached: ${error}`);
    }
    const map = isMap(value) ? value : {};
    if (answer.ok) return map;
    throw Refused.parse(map.error);
  }
}
