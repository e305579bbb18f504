import { Refused } from "chat-gateway-client";
import { useEffect, useState } from "react";
import { useLatest } from "../hooks.ts";
import type { AdminApi, Overview } from "./api.ts";
import { added, type Sample } from "./samples.ts";

const EVERY_MS = 2000;

export interface Watched {
  samples: readonly Sample[];
  /** The newest that was read. */
  overview: Overview | undefined;
  /** Nobody has answered the last time. */
  isSilent: boolean;
}

/** Reads the figures every other second, as long as somebody can see them. `onRefused`: they are not for this user. */
export function useOverview(api: AdminApi, onRefused: (error: Refused) => void): Watched {
  const [watched, setWatched] = useState<Watched>({ samples: [], overview: undefined, isSilent: false });
  const refused = useLatest(onRefused);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const read = async () => {
      let overview: Overview | undefined;
      const isSeen = document.visibilityState === "visible";
      try {
        if (isSeen) overview = await api.overview();
      } catch (error) {
        if (error instanceof Refused && !error.retryable) refused.current(error);
      }
      if (isOver) return;
      const sample = { at: Date.now(), overview };
      setWatched((before) => ({
        samples: added(before.samples, sample),
        overview: overview ?? before.overview,
        isSilent: isSeen && overview === undefined,
      }));
      timer = setTimeout(() => void read(), EVERY_MS);
    };
    void read();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [api, refused]);
  return watched;
}
