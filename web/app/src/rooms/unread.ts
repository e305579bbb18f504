/** What is unread. */

import type { Room, RoomState } from "chat-gateway-client";
import { useCallback, useRef, useSyncExternalStore } from "react";

/** Unread messages of a room. */
export function unreadOf({ timeline, readSeq }: RoomState): number {
  return Math.max(0, timeline.top - readSeq);
}

/** The sum over all rooms, up to date. */
export function useUnread(rooms: ReadonlyMap<string, Room>): { total: number } {
  const last = useRef({ total: 0 });
  const subscribe = useCallback(
    (changed: () => void) => {
      const ends = [...rooms.values()].map((room) => room.subscribe(changed));
      return () => {
        for (const end of ends) end();
      };
    },
    [rooms],
  );
  return useSyncExternalStore(subscribe, () => {
    let total = 0;
    for (const room of rooms.values()) total += unreadOf(room.state);
    if (total !== last.current.total) last.current = { total };
    return last.current;
  });
}
