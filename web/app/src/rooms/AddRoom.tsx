import { Refused, type RoomId, type RoomInfo } from "chat-gateway-client";
import { type FormEvent, useCallback, useEffect, useState } from "react";
import { useClient } from "../context.ts";
import { useStore } from "../hooks.ts";
import { explain } from "../SignIn.tsx";
import { Button, Choice, Field, Problem, Spinner } from "../ui/controls.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Icon } from "../ui/Icon.tsx";

interface Props {
  onClose: () => void;
  onOpened: (room: RoomId) => void;
}

type Way = "join" | "create" | "direct";
const WAYS = [
  ["join", "Join a room"],
  ["create", "Make a room"],
  ["direct", "Write to somebody"],
] as const;

/** The three ways to another room. */
export function AddRoom({ onClose, onOpened }: Props) {
  const client = useClient();
  const [way, setWay] = useState<Way>("join");
  const opened = async (room: RoomInfo) => {
    await client.refreshRooms();
    onOpened(room.id);
  };
  return (
    <Dialog title="Add a room" onClose={onClose}>
      <Choice label="How" options={WAYS} value={way} onChange={setWay} />
      {way === "join" && <JoinRoom onOpened={opened} />}
      {way === "create" && <CreateRoom onOpened={opened} />}
      {way === "direct" && <WriteTo onOpened={opened} />}
    </Dialog>
  );
}

type Opened = (room: RoomInfo) => Promise<void>;

/** Runs a request, and keeps what went wrong. */
function useRequest(): [(request: () => Promise<void>) => Promise<void>, boolean, string | undefined] {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string>();
  const run = async (request: () => Promise<void>) => {
    setBusy(true);
    setProblem(undefined);
    try {
      await request();
    } catch (error) {
      setProblem(explain(error));
    }
    setBusy(false);
  };
  return [run, isBusy, problem];
}

function JoinRoom({ onOpened }: { onOpened: Opened }) {
  const client = useClient();
  const { api } = client;
  const { rooms: mine } = useStore(client);
  const [rooms, setRooms] = useState<RoomInfo[]>();
  const [hasMore, setMore] = useState(false);
  const [filter, setFilter] = useState("");
  const [run, isBusy, problem] = useRequest();
  const load = useCallback(
    async (known: RoomInfo[]) => {
      const page = await api.publicRooms(known.at(-1)?.id);
      setRooms([...known, ...page.rooms]);
      setMore(page.more);
    },
    [api],
  );
  useEffect(() => {
    load([]).catch(() => setRooms([]));
  }, [load]);
  if (!rooms) return <Spinner label="Loading rooms" />;
  const wanted = filter.trim().toLocaleLowerCase();
  const shown = rooms.filter(({ name }) => name.toLocaleLowerCase().includes(wanted));
  return (
    <>
      <Field
        label="Name"
        type="search"
        placeholder="Filter"
        value={filter}
        onChange={(event) => setFilter(event.target.value)}
      />
      {problem && <Problem>{problem}</Problem>}
      {shown.length === 0 && (
        <p className="dialog-empty">
          {wanted ? "No public room has such a name." : "There is no public room yet. Make one!"}
        </p>
      )}
      <ul className="choices">
        {shown.map((room) => (
          <li key={room.id}>
            <Icon name="hash" />
            <span className="room-title">{room.name}</span>
            <Button
              disabled={isBusy}
              aria-label={`${mine.has(room.id) ? "Open" : "Join"} ${room.name}`}
              onClick={() => run(async () => onOpened(mine.has(room.id) ? room : await api.join(room.id)))}
            >
              {mine.has(room.id) ? "Open" : "Join"}
            </Button>
          </li>
        ))}
      </ul>
      {hasMore && (
        <Button disabled={isBusy} onClick={() => run(() => load(rooms))}>
          Show more rooms
        </Button>
      )}
    </>
  );
}

function CreateRoom({ onOpened }: { onOpened: Opened }) {
  const { api } = useClient();
  const [name, setName] = useState("");
  const [kind, setKind] = useState<"public" | "private">("public");
  const [run, isBusy, problem] = useRequest();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => onOpened(await api.createRoom(name, kind)));
  };
  return (
    <form onSubmit={submit}>
      <Field
        label="Name"
        required
        maxLength={80}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <Choice
        label="Who may come in"
        options={[
          ["public", "Everybody may join"],
          ["private", "Only the invited"],
        ]}
        value={kind}
        onChange={setKind}
      />
      {problem && <Problem>{problem}</Problem>}
      <div className="dialog-actions">
        <Button look="primary" type="submit" disabled={isBusy}>
          Make the room
        </Button>
      </div>
    </form>
  );
}

function WriteTo({ onOpened }: { onOpened: Opened }) {
  const { api } = useClient();
  const [name, setName] = useState("");
  const [run, isBusy, problem] = useRequest();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const user = await api.findUser(name);
      if (user.id === api.user?.id) throw new Refused("invalid", "that is you");
      await onOpened(await api.direct(user.id));
    });
  };
  return (
    <form onSubmit={submit}>
      <Field
        label="Name"
        required
        autoCapitalize="none"
        spellCheck={false}
        hint="The whole name, as the other wrote it at sign-up."
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      {problem && <Problem>{problem}</Problem>}
      <div className="dialog-actions">
        <Button look="primary" type="submit" disabled={isBusy}>
          Start writing
        </Button>
      </div>
    </form>
  );
}
