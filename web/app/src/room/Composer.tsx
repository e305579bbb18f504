import { known, mentionOf, type People, type Room } from "chat-gateway-client";
import { type KeyboardEvent, type Ref, useEffect, useId, useImperativeHandle, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { useClient } from "../context.ts";
import { remember, remembered, useMediaQuery, useStore } from "../hooks.ts";
import { IconButton } from "../ui/controls.tsx";
import { type Completion, completionsFor } from "./mentions.ts";

interface Props {
  ref: Ref<HTMLTextAreaElement>;
  room: Room;
  people: People;
  onSent: () => void;
  /** The arrow up in an empty field. */
  onEditLast: () => void;
}

/** What the server takes is 16 KiB with all that goes around the text. */
const MAX_BYTES = 16_000;
const MAX_ROWS = 8;

/** Where one writes. The draft of each room outlives the page. */
export function Composer({ ref, room, people, onSent, onEditLast }: Props) {
  const { user } = useClient();
  const { title } = useStore(room);
  const draftName = `draft/${user.id}/${room.id}`;
  const [text, setText] = useState(() => remembered(draftName) ?? "");
  const [caret, setCaret] = useState(0);
  const [chosen, setChosen] = useState(0);
  const [dismissed, setDismissed] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const hasMouse = useMediaQuery("(hover: hover)");
  const listId = useId();
  useImperativeHandle(ref, () => field.current as HTMLTextAreaElement);

  useEffect(() => {
    // A touch keyboard would cover what the reader came for.
    if (hasMouse) field.current?.focus();
  }, [hasMouse]);

  const completion = text === dismissed ? undefined : completionsFor(text, caret, known(people), user.id);
  const option = completion ? Math.min(chosen, completion.users.length - 1) : -1;
  const isTooLong = text.length > MAX_BYTES / 4 && new TextEncoder().encode(text).length > MAX_BYTES;
  const isSendable = text.trim() !== "" && !isTooLong;

  const change = (now: string, at: number) => {
    setText(now);
    setCaret(at);
    setChosen(0);
    remember(draftName, now);
  };
  const send = () => {
    if (!isSendable) return;
    room.send({ text: text.trim() });
    change("", 0);
    onSent();
    field.current?.focus();
  };
  const complete = ({ start, users }: Completion, index: number) => {
    const inserted = `${mentionOf(users[index]?.name ?? "")} `;
    const at = start + inserted.length;
    // At once: what is typed next must find the caret in its place.
    flushSync(() => change(text.slice(0, start) + inserted + text.slice(caret), at));
    field.current?.focus();
    field.current?.setSelectionRange(at, at);
  };
  const pressed = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing) return;
    if (completion && ["ArrowDown", "ArrowUp", "Enter", "Tab", "Escape"].includes(event.key)) {
      event.preventDefault();
      const count = completion.users.length;
      if (event.key === "ArrowDown") setChosen((option + 1) % count);
      else if (event.key === "ArrowUp") setChosen((option - 1 + count) % count);
      else if (event.key === "Escape") setDismissed(text);
      else complete(completion, option);
    } else if (event.key === "Enter" && !event.shiftKey && hasMouse) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && text === "") {
      event.preventDefault();
      onEditLast();
    }
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {completion && (
        <div className="completions" role="listbox" id={listId} aria-label="Mention somebody">
          {completion.users.map((candidate, index) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are handled in the field, which keeps the focus
            // biome-ignore lint/a11y/useFocusableInteractive: likewise
            <div
              key={candidate.id}
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === option}
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => complete(completion, index)}
            >
              @{candidate.name}
            </div>
          ))}
        </div>
      )}
      <div className="composer-box">
        <textarea
          ref={field}
          rows={rowsFor(text)}
          aria-label={`Message to ${title}`}
          placeholder={`Message to ${title}`}
          aria-controls={completion ? listId : undefined}
          aria-autocomplete="list"
          aria-activedescendant={completion ? `${listId}-${option}` : undefined}
          value={text}
          onChange={(event) => {
            change(event.target.value, event.target.selectionStart);
            if (event.target.value) room.type();
          }}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
          onKeyDown={pressed}
        />
        <IconButton icon="send" label="Send" type="submit" className="composer-send" disabled={!isSendable} />
      </div>
      <p className="composer-hint" data-problem={isTooLong}>
        {isTooLong
          ? "This is too long for one message."
          : hasMouse && text !== "" && "Enter sends, Shift and Enter begin a new line."}
      </p>
    </form>
  );
}

/** As high as the text, within reason. */
export function rowsFor(text: string): number {
  return Math.min(MAX_ROWS, text.split("\n").length);
}
