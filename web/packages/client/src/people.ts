/** Who is in a room: hints that are never sent twice, so each can be asked for anew. */

import type { Member } from "./http.ts";
import type { Online, Role, RoomPush, User, UserId } from "./protocol.ts";

export interface People {
  /** How many have the room open. */
  readonly online: number;
  /** Their names by id; undefined while unknown, or when there are too many to be told. */
  readonly present: ReadonlyMap<UserId, string> | undefined;
  /** Names of those who are writing. */
  readonly typing: ReadonlyMap<UserId, string>;
  /** With how far each has read. Undefined until they were asked for. */
  readonly members: readonly Member[] | undefined;
}

export const NOBODY: People = {
  online: 0,
  present: undefined,
  typing: new Map(),
  members: undefined,
};

type Push<K extends RoomPush["push"]> = Extract<RoomPush, { push: K }>;

/** The answer to `presence`. */
export function asked(people: People, { online, users }: Online): People {
  const present =
    online > 0 && users.length === 0 ? undefined : new Map(users.map((user) => [user.id, user.name]));
  return { ...people, online, present };
}

/** Who came and who went. */
export function presence(people: People, { joins, leaves, online }: Push<"presence">): People {
  if (!people.present) return { ...people, online };
  const present = new Map(people.present);
  for (const user of leaves) present.delete(user);
  for (const user of joins) present.set(user.id, user.name);
  // A room that has grown too large for names tells their number only.
  return { ...people, online, present: present.size === online ? present : undefined };
}

/** Somebody writes, or (without a name) has stopped. */
export function typing(people: People, user: UserId, name?: string): People {
  if (name === undefined && !people.typing.has(user)) return people;
  const now = new Map(people.typing);
  if (name === undefined) now.delete(user);
  else now.set(user, name);
  return { ...people, typing: now };
}

/** A mark only ever rises. */
export function read(people: People, { user, seq }: Push<"read">): People {
  const raised = (known: Member) =>
    known.id === user && known.read_seq < seq ? { ...known, read_seq: seq } : known;
  return people.members ? { ...people, members: people.members.map(raised) } : people;
}

/** Another role. Undefined if the list must be asked for again: somebody new, whose name is not known. */
export function member(people: People, { user, role }: Push<"member">): People | undefined {
  const { members } = people;
  if (!members) return people;
  if (role === null) return { ...people, members: members.filter((known) => known.id !== user) };
  if (!members.some((known) => known.id === user)) return undefined;
  return { ...people, members: members.map((known) => (known.id === user ? { ...known, role } : known)) };
}

/** Everybody whose name the room has shown, for mentions. */
export function known(people: People): User[] {
  const users = new Map(people.present);
  for (const { id, name, role } of people.members ?? []) if (role !== "banned") users.set(id, name);
  return [...users].map(([id, name]) => ({ id, name }));
}

export const ROLES: readonly Role[] = ["member", "moderator", "owner"];
