import type { Room, RoomId } from "chat-gateway-client";
import { useMemo, useState } from "react";
import { useClient } from "../context.ts";
import { number } from "../format.ts";
import { useStore } from "../hooks.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Button, IconButton, Spinner } from "../ui/controls.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { Icon } from "../ui/Icon.tsx";
import { Menu } from "../ui/Menu.tsx";
import { ThemeButton } from "../ui/ThemeButton.tsx";
import { unreadOf } from "./unread.ts";

interface Props {
  current: RoomId | undefined;
  onOpen: (room: RoomId) => void;
  onAdd: () => void;
  onSignedOut: () => void;
}

export function Sidebar({ current, onOpen, onAdd, onSignedOut }: Props) {
  const { rooms, listed } = useStore(useClient());
  const [shared, direct] = useMemo(() => sorted([...rooms.values()]), [rooms]);
  return (
    <nav className="sidebar" aria-label="Rooms">
      <header className="sidebar-head">
        <h1>Chat</h1>
        <IconButton icon="plus" label="Add a room" onClick={onAdd} />
      </header>
      <div className="sidebar-lists">
        {!listed && <Spinner label="Loading rooms" />}
        {listed && rooms.size === 0 && (
          <div className="sidebar-empty">
            <p>You are in no room yet.</p>
            <Button look="primary" onClick={onAdd}>
              Find or make one
            </Button>
          </div>
        )}
        <RoomList title="Rooms" rooms={shared} current={current} onOpen={onOpen} />
        <RoomList title="Direct messages" rooms={direct} current={current} onOpen={onOpen} />
      </div>
      <Account onSignedOut={onSignedOut} />
    </nav>
  );
}

function RoomList(props: {
  title: string;
  rooms: Room[];
  current: RoomId | undefined;
  onOpen: (room: RoomId) => void;
}) {
  if (props.rooms.length === 0) return null;
  return (
    <section>
      <h2>{props.title}</h2>
      <ul>
        {props.rooms.map((room) => (
          <RoomLine key={room.id} room={room} isCurrent={room.id === props.current} onOpen={props.onOpen} />
        ))}
      </ul>
    </section>
  );
}

function RoomLine({
  room,
  isCurrent,
  onOpen,
}: {
  room: Room;
  isCurrent: boolean;
  onOpen: (room: RoomId) => void;
}) {
  const { user } = useClient();
  const state = useStore(room);
  const unread = unreadOf(state);
  const mentions = unread > 0 ? state.mentions.length : 0;
  const others = state.people.present ? state.people.online - (state.people.present.has(user.id) ? 1 : 0) : 0;
  return (
    <li>
      <button
        type="button"
        className="room-line"
        data-unread={unread > 0}
        aria-current={isCurrent ? "page" : undefined}
        onClick={() => onOpen(room.id)}
      >
        {state.kind === "direct" ? (
          <Avatar name={state.title} small present={others > 0} />
        ) : (
          <Icon name={state.kind === "private" ? "lock" : "hash"} />
        )}
        <span className="room-title">{state.title}</span>
        {unread > 0 && (
          <span className="badge" data-mention={mentions > 0 || state.kind === "direct"}>
            <span aria-hidden="true">
              {mentions > 0 && (mentions > 1 ? `@${number(mentions)} · ` : "@ ")}
              {unread > 999 ? "999+" : number(unread)}
            </span>
            <span className="visually-hidden">
              , {number(unread)} unread
              {mentions > 0 && (mentions > 1 ? `, ${number(mentions)} mention you` : ", mentions you")}
            </span>
          </span>
        )}
      </button>
    </li>
  );
}

function Account({ onSignedOut }: { onSignedOut: () => void }) {
  const client = useClient();
  const { messages } = useStore(client.outbox);
  const [isAsking, setAsking] = useState(false);
  const signOut = () => void client.signOut().then(onSignedOut, () => undefined);
  const unsent = messages.filter((message) => message.state !== "sent").length;
  return (
    <footer className="account">
      <Avatar name={client.user.name} small />
      <span className="account-name">{client.user.name}</span>
      <ThemeButton />
      <Menu
        label="Account"
        items={[
          ...(client.api.user?.admin
            ? [{ label: "Operation", onSelect: () => location.assign("admin") }]
            : []),
          { label: "Sign out", onSelect: () => (unsent > 0 ? setAsking(true) : signOut()) },
        ]}
      />
      {isAsking && (
        <Confirm title="Sign out?" action="Sign out" onClose={() => setAsking(false)} onConfirm={signOut}>
          {unsent === 1 ? "One message has" : `${unsent} messages have`} not been sent yet and would be lost.
        </Confirm>
      )}
    </footer>
  );
}

/** Rooms and direct messages, each by name: a list that stays as it is is found by the hand. */
function sorted(rooms: Room[]): [Room[], Room[]] {
  const byTitle = rooms.toSorted(
    (a, b) => a.state.title.localeCompare(b.state.title) || (a.id < b.id ? -1 : 1),
  );
  return [
    byTitle.filter(({ state }) => state.kind !== "direct"),
    byTitle.filter(({ state }) => state.kind === "direct"),
  ];
}
