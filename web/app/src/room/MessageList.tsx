import { indexOf, type Pending, type Room, type RoomState } from "chat-gateway-client";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { useClient } from "../context.ts";
import { number } from "../format.ts";
import { useAttention, useLatest } from "../hooks.ts";
import { Button, Spinner } from "../ui/controls.tsx";
import { Icon } from "../ui/Icon.tsx";
import { Announcer } from "./Announcer.tsx";
import { MessageRow } from "./MessageRow.tsx";
import { type Row, rowsOf } from "./rows.ts";

interface Props {
  room: Room;
  state: RoomState;
  pending: readonly Pending[];
  firstUnread: number | undefined;
  /** A message that was searched for. */
  found: number | undefined;
  editing: number | undefined;
  onEdit: (seq: number) => void;
  onEdited: () => void;
}

/** Pages are asked for before their place comes into view. */
const AHEAD_PX = 900;
/** That near to the end counts as there. */
const END_PX = 48;

/**
 * The messages, of which only those in view are in the document. The end stays in view while the reader is there;
 * elsewhere the place stays, whatever comes before or after it.
 */
export function MessageList({ room, state, pending, firstUnread, found, editing, onEdit, onEdited }: Props) {
  const { user } = useClient();
  const { timeline, role } = state;
  const atEnd = timeline.to >= timeline.top;
  const rows = useMemo(
    () => rowsOf(timeline.messages, atEnd ? pending : [], firstUnread),
    [timeline.messages, atEnd, pending, firstUnread],
  );
  const list = useRef<VirtualizerHandle>(null);
  const follows = useRef(true);
  const [isBehind, setBehind] = useState(false);
  const shift = useGrowsAtStart(timeline.messages[0]?.seq);
  const hasAttention = useAttention();
  const latest = useLatest({ rows, atEnd, hasAttention, top: timeline.top });

  const toEnd = useCallback(() => {
    list.current?.scrollToIndex(latest.current.rows.length - 1, { align: "end" });
  }, [latest]);

  /** Marks as read what was in view before somebody's eyes. */
  const markRead = useCallback(() => {
    const { rows, hasAttention, atEnd, top } = latest.current;
    const handle = list.current;
    if (!handle || !hasAttention) return;
    if (follows.current && atEnd) {
      room.markRead(top);
      return;
    }
    const bottom = handle.scrollOffset + handle.viewportSize;
    const seen = rows[handle.findItemIndex(bottom - END_PX)]?.message;
    if (seen) room.markRead(seen.seq);
  }, [latest, room]);

  const look = useCallback(() => {
    const handle = list.current;
    if (!handle || handle.viewportSize === 0) return; // not measured yet: `onResize` will tell
    const { scrollOffset, scrollSize, viewportSize } = handle;
    const below = scrollSize - viewportSize - scrollOffset;
    follows.current = below < END_PX && latest.current.atEnd;
    setBehind(below > viewportSize || !latest.current.atEnd);
    if (scrollOffset < AHEAD_PX) void room.loadOlder();
    if (below < AHEAD_PX) void room.loadNewer();
    markRead();
  }, [latest, room, markRead]);

  const resized = useCallback(() => {
    if (follows.current && latest.current.atEnd) toEnd();
    else look();
  }, [latest, toEnd, look]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: where to begin is decided once
  useLayoutEffect(() => {
    const index = firstUnread === undefined ? -1 : rows.findIndex((row) => row.isFirstUnread);
    if (index >= 0) {
      follows.current = false;
      list.current?.scrollToIndex(index, { align: "start", offset: index > 0 ? -72 : 0 });
    } else {
      toEnd();
    }
    const frame = requestAnimationFrame(look);
    return () => cancelAnimationFrame(frame);
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when the rows are others
  useLayoutEffect(() => {
    if (follows.current && atEnd) toEnd();
  }, [rows, atEnd]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new rows or new eyes, either may have read something
  useEffect(() => {
    const frame = requestAnimationFrame(look);
    return () => cancelAnimationFrame(frame);
  }, [rows, hasAttention, look]);

  const lastPending = pending.at(-1)?.key;
  const wasPending = useRef(lastPending);
  useLayoutEffect(() => {
    // Who writes wants to see it.
    if (lastPending && lastPending !== wasPending.current) {
      follows.current = true;
      if (atEnd) toEnd();
      else void room.jumpToEnd();
    }
    wasPending.current = lastPending;
  }, [lastPending, atEnd, room, toEnd]);

  useEffect(() => {
    if (found === undefined) return;
    follows.current = false;
    list.current?.scrollToIndex(indexOf(room.state.timeline.messages, found), { align: "center" });
  }, [found, room]);

  const jump = () => {
    follows.current = true;
    if (atEnd) toEnd();
    else void room.jumpToEnd();
  };

  return (
    <div className="messages">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section className="messages-scroller" tabIndex={0} aria-label="Messages">
        <div className="messages-space" />
        {rows.length === 0 && <p className="messages-none">Nothing here yet. Write the first message.</p>}
        <Virtualizer ref={list} data={rows} shift={shift} onScroll={look} onResize={resized}>
          {(row: Row, index) => (
            <div key={row.key} data-seq={row.message?.seq} className="row">
              {index === 0 && <Beginning isAll={timeline.from <= 1} isEmpty={rows.length === 0} />}
              <MessageRow
                room={room}
                row={row}
                self={user}
                mayDelete={role !== "member" && state.kind !== "direct"}
                isFound={found !== undefined && row.message?.seq === found}
                isEditing={editing !== undefined && row.message?.seq === editing}
                onEdit={onEdit}
                onEdited={onEdited}
              />
            </div>
          )}
        </Virtualizer>
      </section>
      {isBehind && (
        <Button className="jump" onClick={jump}>
          <Icon name="down" />
          {room.unread > 0 ? `${number(room.unread)} new` : "Newest"}
        </Button>
      )}
      <Announcer state={state} />
    </div>
  );
}

function Beginning({ isAll, isEmpty }: { isAll: boolean; isEmpty: boolean }) {
  if (isEmpty) return null;
  return (
    <div className="beginning">
      {isAll ? <p>This is where the room begins.</p> : <Spinner label="Loading older messages" />}
    </div>
  );
}

/** Whether this drawing adds rows before the first one; then the place is kept from the end. */
function useGrowsAtStart(first: number | undefined): boolean {
  const before = useRef(first);
  const grows = first !== undefined && before.current !== undefined && first < before.current;
  useLayoutEffect(() => {
    before.current = first;
  });
  return grows;
}
