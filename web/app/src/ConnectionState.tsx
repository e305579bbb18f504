import { useEffect, useState } from "react";
import { useClient } from "./context.ts";
import { useNow, useStore } from "./hooks.ts";

/** Shorter interruptions are not worth a word. */
const QUIET_MS = 700;

/** Says in words whether the page is connected, as long as it is not. */
export function ConnectionState() {
  const client = useClient();
  const { status } = useStore(client);
  const isAway = status.phase !== "online" && status.phase !== "ended";
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    if (!isAway) {
      setShown(false);
      return;
    }
    const timer = setTimeout(() => setShown(true), QUIET_MS);
    return () => clearTimeout(timer);
  }, [isAway]);
  const until = status.phase === "waiting" ? status.until : undefined;
  const now = useNow(500, isShown && until !== undefined);
  const seconds = until === undefined ? 0 : Math.max(1, Math.ceil((until - now) / 1000));

  return (
    <div className="connection-state" role="status" data-shown={isShown}>
      {isShown && status.phase === "offline" && "You are offline. Messages will be sent when you are back."}
      {isShown && status.phase === "connecting" && "Connecting…"}
      {isShown && until !== undefined && (
        <>
          <span>Reconnecting in {seconds} s. Messages will be sent then.</span>
          <button type="button" className="link" onClick={() => client.hurry()}>
            Now
          </button>
        </>
      )}
    </div>
  );
}
