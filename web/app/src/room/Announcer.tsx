import type { RoomState } from "chat-gateway-client";
import { useState } from "react";
import { useClient } from "../context.ts";

/** Reads new messages of others out to screen readers, which cannot follow a list that is drawn in parts. */
export function Announcer({ state }: { state: RoomState }) {
  const { user } = useClient();
  const [since] = useState(state.timeline.top);
  const last = state.timeline.messages.at(-1);
  const isNews = last && last.seq > since && last.user !== user.id && !last.deleted;
  return (
    <p className="visually-hidden" aria-live="polite">
      {isNews && `${last.name}: ${(last.body.text ?? "").slice(0, 300)}`}
    </p>
  );
}
