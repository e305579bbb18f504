import { mentionOf, type User } from "chat-gateway-client";

export interface Completion {
  /** Where the `@` is. */
  start: number;
  /** Whom it may become, at least one. */
  users: User[];
}

const TYPED = /(?:^|[^\p{L}\p{N}_@])@([\p{L}\p{N}_.-]{0,32})$/u;
const MOST = 6;

/** Who may be meant by the `@…` before the caret. */
export function completionsFor(
  text: string,
  caret: number,
  people: User[],
  self: string,
): Completion | undefined {
  const typed = TYPED.exec(text.slice(Math.max(0, caret - 40), caret))?.[1];
  if (typed === undefined) return undefined;
  const wanted = typed.toLocaleLowerCase();
  const users = people
    .filter(({ id, name }) => id !== self && mentionOf(name) && name.toLocaleLowerCase().startsWith(wanted))
    .sort((a, b) => a.name.localeCompare(b.name))
    .slice(0, MOST);
  const isDone = users.some(({ name }) => name.toLocaleLowerCase() === wanted);
  return users.length > 0 && !isDone ? { start: caret - typed.length - 1, users } : undefined;
}
