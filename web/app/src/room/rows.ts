/** What the list of messages shows, one row for each message: day and unread marks belong to the row below them. */

import type { Message, Pending } from "chat-gateway-client";
import { day, isSameDay } from "../format.ts";

export interface Row {
  /** The same before and after a message is acknowledged, so that its row stays. */
  key: string;
  message: Message | undefined;
  pending: Pending | undefined;
  /** Begins a group: shows who wrote, and when. */
  isHead: boolean;
  /** The name of the day that begins here. */
  day: string | undefined;
  isFirstUnread: boolean;
}

/** Messages of one sender within this time stand together. */
const GROUP_MS = 5 * 60_000;

interface Author {
  user: string;
  ts: number;
}

export function rowsOf(
  messages: readonly Message[],
  pending: readonly Pending[],
  firstUnread: number | undefined,
): Row[] {
  const rows: Row[] = [];
  let before: Author | undefined;
  // Of a window that begins later nothing can be said: the mark is further back.
  let isMarked = firstUnread === undefined || (messages[0]?.seq ?? 0) > firstUnread;
  for (const message of messages) {
    const isFirstUnread = !isMarked && message.seq >= (firstUnread as number);
    isMarked ||= isFirstUnread;
    const key = `${message.user}/${message.key}`;
    rows.push({
      key,
      message,
      pending: undefined,
      isFirstUnread,
      ...groupOf(message, before, isFirstUnread),
    });
    before = message;
  }
  for (const waiting of pending) {
    const author = { user: waiting.user, ts: waiting.order };
    const key = `${waiting.user}/${waiting.key}`;
    rows.push({
      key,
      message: undefined,
      pending: waiting,
      isFirstUnread: false,
      ...groupOf(author, before, false),
    });
    before = author;
  }
  return rows;
}

function groupOf(author: Author, before: Author | undefined, isMarked: boolean): Pick<Row, "isHead" | "day"> {
  const isNewDay = !before || !isSameDay(before.ts, author.ts);
  const goesOn = before?.user === author.user && author.ts - before.ts < GROUP_MS;
  return { isHead: isNewDay || isMarked || !goesOn, day: isNewDay ? day(author.ts) : undefined };
}
