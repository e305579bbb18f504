import type { RoomId } from "chat-gateway-client";
import { useCallback } from "react";
import { Avatar } from "../ui/Avatar.tsx";
import { Button, Problem, Spinner } from "../ui/controls.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import type { AdminApi, MemberLine } from "./api.ts";
import { usePages } from "./usePages.ts";

interface Props {
  api: AdminApi;
  room: RoomId;
  title: string;
  /** A direct room always has its two. */
  isDirect: boolean;
  onClose: () => void;
}

/** Who is in a room, and the way out of it. */
export function RoomMembers({ api, room, title, isDirect, onClose }: Props) {
  const read = useCallback((after?: string) => api.members(room, after), [api, room]);
  const { items, more, problem, loadMore, attempt } = usePages(read, ({ user }) => user.id);
  return (
    <Dialog title={`Members of ${title}`} onClose={onClose}>
      {problem && <Problem>{problem}</Problem>}
      {!items && !problem && <Spinner label="Loading members" />}
      {items?.length === 0 && <p className="dialog-empty">Nobody is in this room.</p>}
      <ul className="choices">
        {items?.map((member) => (
          <li key={member.user.id}>
            <Avatar name={member.user.name} small present={member.online} />
            <span className="room-title">{member.user.name}</span>
            {member.role !== "member" && <span className="tag">{member.role}</span>}
            {!isDirect && <Actions member={member} api={api} room={room} attempt={attempt} />}
          </li>
        ))}
      </ul>
      {more && <Button onClick={loadMore}>Show more</Button>}
    </Dialog>
  );
}

function Actions(props: {
  member: MemberLine;
  api: AdminApi;
  room: RoomId;
  attempt: (request: Promise<void>) => Promise<void>;
}) {
  const { member, api, room, attempt } = props;
  const { id, name } = member.user;
  if (member.role === "banned") {
    const lift = () => void attempt(api.remove(room, id));
    return (
      <Button aria-label={`Lift the ban of ${name}`} onClick={lift}>
        Lift the ban
      </Button>
    );
  }
  return (
    <>
      <Button aria-label={`Remove ${name}`} onClick={() => void attempt(api.remove(room, id))}>
        Remove
      </Button>
      <Button look="danger" aria-label={`Ban ${name}`} onClick={() => void attempt(api.ban(room, id))}>
        Ban
      </Button>
    </>
  );
}
