import type { Room, RoomId } from "chat-gateway-client";
import { useEffect, useMemo, useRef, useState } from "react";
import { useClient } from "../context.ts";
import { number } from "../format.ts";
import { useAttention, useMediaQuery, useStore } from "../hooks.ts";
import { explain } from "../SignIn.tsx";
import { Avatar } from "../ui/Avatar.tsx";
import { Button, IconButton, Problem, Spinner } from "../ui/controls.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { Icon } from "../ui/Icon.tsx";
import { Menu } from "../ui/Menu.tsx";
import { Composer } from "./Composer.tsx";
import { Members } from "./Members.tsx";
import { MessageList } from "./MessageList.tsx";
import { Search } from "./Search.tsx";
import { Typing } from "./Typing.tsx";

interface Props {
  room: Room;
  onBack: () => void;
  onOpen: (room: RoomId) => void;
}

export function RoomView({ room, onBack, onOpen }: Props) {
  const client = useClient();
  const state = useStore(room);
  const { messages: outbox } = useStore(client.outbox);
  const isWide = useMediaQuery("(min-width: 68rem)");
  const [wantsMembers, setWantsMembers] = useState<boolean>();
  const showsMembers = wantsMembers ?? isWide;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another width, another choice
  useEffect(() => setWantsMembers(undefined), [isWide]);
  const [isSearching, setSearching] = useState(false);
  const [found, setFound] = useState<number>();
  const [editing, setEditing] = useState<number>();
  const [firstUnread, clearUnread] = useFirstUnread(room);
  const composer = useRef<HTMLTextAreaElement>(null);
  const pending = useMemo(() => outbox.filter((message) => message.room === room.id), [outbox, room.id]);

  useEffect(() => room.open(), [room]);

  const editLast = () => {
    const mine = state.timeline.messages.findLast(({ user, deleted }) => user === client.user.id && !deleted);
    if (mine) setEditing(mine.seq);
  };
  const stopEditing = () => {
    setEditing(undefined);
    composer.current?.focus();
  };

  return (
    <div className="room" data-members={showsMembers}>
      <section className="room-main" aria-label={state.title}>
        <Head
          room={room}
          onBack={onBack}
          showsMembers={showsMembers}
          onMembers={() => setWantsMembers(!showsMembers)}
          onSearch={() => setSearching(!isSearching)}
        />
        {isSearching && (
          <Search
            messages={state.timeline.messages}
            onFound={setFound}
            onClose={() => {
              setSearching(false);
              setFound(undefined);
            }}
          />
        )}
        {state.ready ? (
          <MessageList
            key={state.window}
            room={room}
            state={state}
            pending={pending}
            firstUnread={firstUnread}
            found={found}
            editing={editing}
            onEdit={setEditing}
            onEdited={stopEditing}
          />
        ) : (
          <Waiting room={room} error={state.error} />
        )}
        <Typing names={state.people.typing} />
        <Composer
          ref={composer}
          room={room}
          people={state.people}
          onSent={clearUnread}
          onEditLast={editLast}
        />
      </section>
      {showsMembers && (
        <Members room={room} state={state} onClose={() => setWantsMembers(false)} onOpen={onOpen} />
      )}
    </div>
  );
}

/** Where unread messages began when the reader came, or came back to the page. */
function useFirstUnread(room: Room): [number | undefined, () => void] {
  const [first, setFirst] = useState(() => (room.unread > 0 ? room.state.readSeq + 1 : undefined));
  const hasAttention = useAttention();
  useEffect(() => {
    if (hasAttention && room.unread > 0) setFirst(room.state.readSeq + 1);
  }, [hasAttention, room]);
  return [first, () => setFirst(undefined)];
}

function Waiting({ room, error }: { room: Room; error: string | undefined }) {
  return (
    <div className="empty">
      {error ? (
        <>
          <Problem>Messages cannot be loaded: {error}.</Problem>
          <Button onClick={() => void room.join()}>Try again</Button>
        </>
      ) : (
        <Spinner label="Loading messages" />
      )}
    </div>
  );
}

interface HeadProps {
  room: Room;
  showsMembers: boolean;
  onBack: () => void;
  onMembers: () => void;
  onSearch: () => void;
}

function Head({ room, showsMembers, onBack, onMembers, onSearch }: HeadProps) {
  const client = useClient();
  const { kind, title, people } = useStore(room);
  const [isLeaving, setLeaving] = useState(false);
  const [problem, setProblem] = useState<string>();
  const others = people.online - (people.present?.has(client.user.id) ? 1 : 0);

  const leave = async () => {
    try {
      await client.api.leave(room.id);
      await client.refreshRooms();
      onBack();
    } catch (error) {
      setProblem(explain(error));
      setLeaving(false);
    }
  };

  return (
    <header className="room-head">
      <IconButton icon="back" label="Back to rooms" className="only-phone" onClick={onBack} />
      {kind === "direct" ? (
        <Avatar name={title} small present={others > 0} />
      ) : (
        <span className="room-kind">
          <Icon name={kind === "private" ? "lock" : "hash"} />
        </span>
      )}
      <div className="room-name">
        <h1>{title}</h1>
        <p>{kind === "direct" ? (others > 0 ? "Online" : "Offline") : `${number(people.online)} online`}</p>
      </div>
      <IconButton icon="search" label="Search in this room" onClick={onSearch} />
      <IconButton icon="members" label="Members" aria-pressed={showsMembers} onClick={onMembers} />
      {kind !== "direct" && (
        <Menu
          label="More about this room"
          items={[{ label: "Leave the room", danger: true, onSelect: () => setLeaving(true) }]}
        />
      )}
      {isLeaving && (
        <Confirm
          title={`Leave ${title}?`}
          action="Leave"
          onClose={() => setLeaving(false)}
          onConfirm={() => void leave()}
        >
          {kind === "private"
            ? "You can come back only if somebody invites you."
            : "You can join again at any time."}
        </Confirm>
      )}
      {problem && (
        <Confirm
          title="You cannot leave yet"
          action="I see"
          onClose={() => setProblem(undefined)}
          onConfirm={() => setProblem(undefined)}
        >
          {problem}
        </Confirm>
      )}
    </header>
  );
}
