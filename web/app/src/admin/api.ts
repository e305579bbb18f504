/** The operator's side of the HTTP API: figures of the nodes, and what one may do about users and rooms. */

import type { HttpApi, Role, RoomId, RoomKind, User, UserId } from "chat-gateway-client";

/** Milliseconds within which half, or all but a hundredth, of what was measured lies. */
export interface Quantiles {
  p50: number;
  p99: number;
}

export interface NodeInfo {
  node: string;
  address: string;
  region: string;
  connections: number;
  max_connections: number;
  draining: boolean;
}

/** What the node that answers knows. Counters rise from its start on. */
export interface Overview {
  node: string;
  version: string;
  uptime_seconds: number;
  connections: number;
  messages: number;
  deliveries: number;
  bytes_in: number;
  bytes_out: number;
  slow_consumers: number;
  latency_ms: Quantiles | null;
  commit_ms: Quantiles | null;
  event_loop_lag_ms: Quantiles | null;
  nodes: NodeInfo[];
}

export interface UserLine extends User {
  admin: boolean;
  banned: boolean;
  connections: number;
}

export interface RoomLine {
  id: RoomId;
  name: string;
  kind: RoomKind;
  online: number;
  seq: number;
}

export interface MemberLine {
  user: User;
  role: Role | "banned";
  online: boolean;
}

export interface Page<T> {
  items: T[];
  more: boolean;
}

const PAGE = 50;

/** Every method throws as those of `HttpApi` do; `forbidden` is for who is no admin. */
export class AdminApi {
  readonly #api: HttpApi;

  constructor(api: HttpApi) {
    this.#api = api;
  }

  async overview(): Promise<Overview> {
    return (await this.#api.request("GET", "/api/admin/overview")) as unknown as Overview;
  }

  /** Users whose names begin with `name`, from the one after `after` on. */
  users(name: string, after?: string): Promise<Page<UserLine>> {
    return this.#page("users", "/api/admin/users", { name, after });
  }

  rooms(name: string, after?: string): Promise<Page<RoomLine>> {
    return this.#page("rooms", "/api/admin/rooms", { name, after });
  }

  members(room: RoomId, after?: string): Promise<Page<MemberLine>> {
    return this.#page("members", `/api/admin/rooms/${room}/members`, { after });
  }

  /** `close` ends all of the user's sessions; the user may sign in again at once. */
  async act(user: UserId, action: "ban" | "unban" | "close"): Promise<void> {
    await this.#api.request("POST", `/api/admin/users/${user}/${action}`, {});
  }

  /** Removes a member, or lifts a ban. */
  async remove(room: RoomId, user: UserId): Promise<void> {
    await this.#api.request("DELETE", `/api/admin/rooms/${room}/members/${user}`);
  }

  async ban(room: RoomId, user: UserId): Promise<void> {
    await this.#api.request("PUT", `/api/admin/rooms/${room}/members/${user}`, { role: "banned" });
  }

  async #page<T>(field: string, path: string, query: Record<string, string | undefined>): Promise<Page<T>> {
    const wanted = Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1]));
    const search = new URLSearchParams([...wanted, ["limit", String(PAGE)]]);
    const answer = await this.#api.request("GET", `${path}?${search}`);
    return { items: answer[field] as T[], more: answer.more === true };
  }
}
