import { useEffect, useState } from "react";
import { ConnectionState } from "./ConnectionState.tsx";
import { useClient } from "./context.ts";
import { useRoute, useStore } from "./hooks.ts";
import { RoomView } from "./room/RoomView.tsx";
import { AddRoom } from "./rooms/AddRoom.tsx";
import { Sidebar } from "./rooms/Sidebar.tsx";
import { useUnread } from "./rooms/unread.ts";
import { Button, Spinner } from "./ui/controls.tsx";

/** The whole chat: rooms on the left, one of them on the right; on a phone one of both. */
export function Chat({ onSignedOut }: { onSignedOut: () => void }) {
  const client = useClient();
  const { rooms, listed } = useStore(client);
  const [route, go] = useRoute();
  const [isAdding, setAdding] = useState(false);
  const room = route ? rooms.get(route) : undefined;

  const { total } = useUnread(rooms);
  useEffect(() => {
    document.title = total > 0 ? `(${total > 99 ? "99+" : total}) Chat` : "Chat";
  }, [total]);

  return (
    <div className="chat" data-pane={route ? "room" : "rooms"}>
      <Sidebar current={room?.id} onOpen={go} onAdd={() => setAdding(true)} onSignedOut={onSignedOut} />
      <main className="pane">
        <ConnectionState />
        {room ? (
          <RoomView key={room.id} room={room} onBack={() => go(undefined)} onOpen={go} />
        ) : (
          <Nothing
            isLoading={!listed}
            isUnknown={route !== undefined}
            onAdd={() => setAdding(true)}
            onBack={() => go(undefined)}
          />
        )}
      </main>
      {isAdding && (
        <AddRoom
          onClose={() => setAdding(false)}
          onOpened={(id) => {
            setAdding(false);
            go(id);
          }}
        />
      )}
    </div>
  );
}

function Nothing(props: { isLoading: boolean; isUnknown: boolean; onAdd: () => void; onBack: () => void }) {
  if (props.isLoading) {
    return (
      <div className="empty">
        <Spinner label="Loading rooms" />
      </div>
    );
  }
  return (
    <div className="empty">
      <h2>{props.isUnknown ? "This room is not here" : "Pick a room"}</h2>
      <p>
        {props.isUnknown
          ? "It does not exist, or you are not a member of it."
          : "Choose one on the left, or add another: join a room, make one, or write to somebody."}
      </p>
      <Button look="primary" onClick={props.isUnknown ? props.onBack : props.onAdd}>
        {props.isUnknown ? "To my rooms" : "Add a room"}
      </Button>
    </div>
  );
}
