import type { Room, User } from "chat-gateway-client";
import { memo, useState } from "react";
import { useClient } from "../context.ts";
import { dateAndTime, time } from "../format.ts";
import { explain } from "../SignIn.tsx";
import { RichText } from "../text/RichText.tsx";
import { Avatar } from "../ui/Avatar.tsx";
import { IconButton, Problem } from "../ui/controls.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { Icon } from "../ui/Icon.tsx";
import { EditForm } from "./EditForm.tsx";
import type { Row } from "./rows.ts";

interface Props {
  room: Room;
  row: Row;
  self: User;
  /** May delete what others wrote. */
  mayDelete: boolean;
  isFound: boolean;
  isEditing: boolean;
  onEdit: (seq: number) => void;
  onEdited: () => void;
}

export const MessageRow = memo(function MessageRow(props: Props) {
  const { row, self, isFound } = props;
  const { message, pending } = row;
  const name = message ? message.name || "Somebody" : self.name;
  const ts = message?.ts ?? pending?.order ?? 0;
  return (
    <>
      {row.day && (
        <p className="day">
          <span>{row.day}</span>
        </p>
      )}
      {row.isFirstUnread && (
        <p className="first-unread">
          <span>New</span>
        </p>
      )}
      <article
        className="message"
        data-head={row.isHead}
        data-found={isFound}
        data-state={pending?.state === "failed" ? "failed" : pending ? "pending" : undefined}
        aria-label={`${name}, ${time(ts)}`}
      >
        <div className="message-side">
          {row.isHead ? <Avatar name={name} /> : <time dateTime={iso(ts)}>{time(ts)}</time>}
        </div>
        <div className="message-main">
          {row.isHead && (
            <header>
              <strong>{name}</strong>
              <time dateTime={iso(ts)} title={dateAndTime(ts)}>
                {time(ts)}
              </time>
            </header>
          )}
          {pending ? <PendingContent row={row} self={self} /> : <Content {...props} />}
        </div>
      </article>
    </>
  );
});

/** What the server has. */
function Content({ room, row, self, mayDelete, isEditing, onEdit, onEdited }: Props) {
  const { message } = row;
  const [isDeleting, setDeleting] = useState(false);
  const [problem, setProblem] = useState<string>();
  if (!message) return null;
  if (message.deleted) return <p className="message-deleted">This message was deleted.</p>;
  const text = message.body.text ?? "";
  if (isEditing) {
    return (
      <EditForm
        text={text}
        onDone={onEdited}
        onSave={(changed) => room.edit(message.seq, { ...message.body, text: changed })}
      />
    );
  }
  const isMine = message.user === self.id;
  const remove = () => {
    setDeleting(false);
    room.delete(message.seq).catch((error) => setProblem(explain(error)));
  };
  return (
    <>
      <RichText text={text} self={self.name} />
      {message.revision > 0 && <span className="message-edited">edited</span>}
      {problem && <Problem>{problem}</Problem>}
      {(isMine || mayDelete) && (
        <div className="message-actions">
          {isMine && <IconButton icon="edit" label="Edit" onClick={() => onEdit(message.seq)} />}
          <IconButton icon="delete" label="Delete" onClick={() => setDeleting(true)} />
        </div>
      )}
      {isDeleting && (
        <Confirm
          title="Delete this message?"
          action="Delete"
          onClose={() => setDeleting(false)}
          onConfirm={remove}
        >
          Nobody will be able to read it any more.
        </Confirm>
      )}
    </>
  );
}

/** What is still on its way. */
function PendingContent({ row, self }: Pick<Props, "row" | "self">) {
  const { outbox } = useClient();
  const { pending } = row;
  if (!pending) return null;
  return (
    <>
      <RichText text={pending.body.text ?? ""} self={self.name} />
      {pending.state === "failed" ? (
        <div className="message-failed" role="alert">
          <Icon name="warning" />
          <span>Not sent: {pending.error}.</span>
          <button type="button" className="link" onClick={() => outbox.retry(pending.key)}>
            Try again
          </button>
          <button type="button" className="link" onClick={() => outbox.discard(pending.key)}>
            Discard
          </button>
        </div>
      ) : (
        <span className="message-edited">{pending.state === "waiting" ? "sending…" : "sent"}</span>
      )}
    </>
  );
}

function iso(ts: number): string {
  return new Date(ts).toISOString();
}
