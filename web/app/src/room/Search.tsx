import type { Message } from "chat-gateway-client";
import { useEffect, useMemo, useState } from "react";
import { number } from "../format.ts";
import { IconButton } from "../ui/controls.tsx";

interface Props {
  messages: readonly Message[];
  onFound: (seq: number | undefined) => void;
  onClose: () => void;
}

/** Goes through the messages that are loaded, the newest first. */
export function Search({ messages, onFound, onClose }: Props) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const found = useMemo(() => matches(messages, query), [messages, query]);
  const current = found[at];
  useEffect(() => onFound(current), [current, onFound]);

  const go = (step: number) => setAt((at + step + found.length) % Math.max(1, found.length));
  return (
    <search className="search">
      <input
        type="search"
        aria-label="Search in the loaded messages"
        placeholder="Search in the loaded messages"
        // biome-ignore lint/a11y/noAutofocus: the reader has just asked for it
        autoFocus
        value={query}
        onChange={(event) => {
          setQuery(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
          if (event.key === "Escape") onClose();
        }}
      />
      <span className="search-count" role="status">
        {query.trim() &&
          (found.length > 0 ? `${number(at + 1)} of ${number(found.length)}` : "Nothing found")}
      </span>
      <IconButton icon="up" label="Earlier" disabled={found.length < 2} onClick={() => go(1)} />
      <IconButton icon="down" label="Later" disabled={found.length < 2} onClick={() => go(-1)} />
      <IconButton icon="close" label="Close search" onClick={onClose} />
    </search>
  );
}

function matches(messages: readonly Message[], query: string): number[] {
  const wanted = query.trim().toLocaleLowerCase();
  if (!wanted) return [];
  return messages
    .filter(({ body, name }) => `${name}\n${body.text ?? ""}`.toLocaleLowerCase().includes(wanted))
    .map(({ seq }) => seq)
    .reverse();
}
