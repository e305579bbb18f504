/**
 * The part of a room's history that is here: messages `from` to `to`, without a hole, and how far it goes on.
 *
 * `top` is the newest position that is known. A window that reaches it (`to` = `top`) grows with every push; one that
 * does not is completed by pages. So a gap, a page that comes late or a resume that failed are one case: `to` < `top`.
 */

import type { Body, Joined, Message } from "./protocol.ts";

export interface Timeline {
  /** Undefined until the room was joined once. */
  readonly epoch: string | undefined;
  readonly top: number;
  readonly from: number;
  readonly to: number;
  /** By seq. Positions that history does not hold any more are left out. */
  readonly messages: readonly Message[];
}

/** A page of history: all there is from `from` to `to`. */
export interface Stretch {
  from: number;
  to: number;
  messages: readonly Message[];
}

export interface Change {
  seq: number;
  revision: number;
  /** Undefined: it was deleted. */
  body?: Body;
}

export const EMPTY: Timeline = { epoch: undefined, top: 0, from: 1, to: 0, messages: [] };

/** Nothing is loaded, and `top` is the newest. */
export function emptyAt(epoch: string | undefined, top: number): Timeline {
  return { epoch, top, from: top + 1, to: top, messages: [] };
}

/** After the answer to a join that asked from `top`. What a recovery promises comes as pushes. */
export function joined(timeline: Timeline, answer: Joined): Timeline {
  if (answer.epoch !== timeline.epoch || answer.top < timeline.top) return emptyAt(answer.epoch, answer.top);
  return answer.recovered ? timeline : { ...timeline, top: answer.top };
}

/** A live message. */
export function pushed(timeline: Timeline, message: Message): Timeline {
  const top = Math.max(timeline.top, message.seq);
  if (message.seq === timeline.to + 1) {
    return { ...timeline, top, to: message.seq, messages: [...timeline.messages, message] };
  }
  if (message.seq <= timeline.to) return replaced(timeline, message.seq, (old) => newer(old, message));
  return top === timeline.top ? timeline : { ...timeline, top };
}

/** An edit or a deletion; what is known already, or not loaded, changes nothing. */
export function changed(timeline: Timeline, change: Change): Timeline {
  return replaced(timeline, change.seq, (old) =>
    change.revision > old.revision ? revised(old, change) : old,
  );
}

/** The message as it is after `change`. */
export function revised(old: Message, change: Change): Message {
  return { ...old, revision: change.revision, deleted: change.body === undefined, body: change.body ?? {} };
}

/** Joins a page to the window; one that does not touch it came too late and is dropped. */
export function paged(timeline: Timeline, page: Stretch): Timeline {
  if (page.from > timeline.to + 1 || page.to < timeline.from - 1) return timeline;
  const known = new Map(timeline.messages.map((message) => [message.seq, message]));
  for (const message of page.messages) {
    const old = known.get(message.seq);
    known.set(message.seq, old ? newer(old, message) : message);
  }
  const messages = [...known.values()].sort((a, b) => a.seq - b.seq);
  const [from, to] = [Math.min(timeline.from, page.from), Math.max(timeline.to, page.to)];
  return { ...timeline, from, to, top: Math.max(timeline.top, to), messages };
}

/** Another window: the reader has jumped. */
export function jumped(timeline: Timeline, page: Stretch): Timeline {
  const { from, to, messages } = page;
  return { ...timeline, from, to, top: Math.max(timeline.top, to), messages };
}

/** Keeps at most the last `count` messages. */
export function trimmed(timeline: Timeline, count: number): Timeline {
  if (timeline.messages.length <= count) return timeline;
  const messages = timeline.messages.slice(-count);
  return { ...timeline, from: messages[0]?.seq ?? timeline.to + 1, messages };
}

/** The index of the first message with at least this seq. */
export function indexOf(messages: readonly Message[], seq: number): number {
  let [low, high] = [0, messages.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((messages[middle] as Message).seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

function replaced(timeline: Timeline, seq: number, change: (old: Message) => Message): Timeline {
  const index = indexOf(timeline.messages, seq);
  const old = timeline.messages[index];
  if (old?.seq !== seq) return timeline;
  const now = change(old);
  return now === old ? timeline : { ...timeline, messages: timeline.messages.with(index, now) };
}

/** The later revision; `old` itself if they are the same, so that nobody draws it again. */
function newer(old: Message, other: Message): Message {
  return other.revision > old.revision || (old.name === "" && other.name !== "") ? other : old;
}
