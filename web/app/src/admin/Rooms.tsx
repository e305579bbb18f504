import { useCallback, useState } from "react";
import { number } from "../format.ts";
import { IconButton } from "../ui/controls.tsx";
import { Icon } from "../ui/Icon.tsx";
import type { AdminApi, RoomLine } from "./api.ts";
import { List } from "./List.tsx";
import { RoomMembers } from "./RoomMembers.tsx";
import { usePages } from "./usePages.ts";

/** All rooms, and who is in them. */
export function Rooms({ api }: { api: AdminApi }) {
  const [search, setSearch] = useState("");
  const [opened, setOpened] = useState<RoomLine>();
  const read = useCallback((after?: string) => api.rooms(search.trim(), after), [api, search]);
  const pages = usePages(read, (room) => room.id);
  return (
    <>
      <List
        title="Rooms"
        pages={pages}
        search={search}
        onSearch={setSearch}
        columns={["Name", "Online", "Messages"]}
        draw={(room) => (
          <tr key={room.id} data-room={room.id}>
            <th scope="row">
              <span className="room-cell">
                <Icon name={ICONS[room.kind]} />
                <span>{titleOf(room)}</span>
              </span>
            </th>
            <td>{number(room.online)}</td>
            <td>{number(room.seq)}</td>
            <td className="table-menu">
              <IconButton
                icon="members"
                label={`Members of ${titleOf(room)}`}
                onClick={() => setOpened(room)}
              />
            </td>
          </tr>
        )}
      />
      {opened && (
        <RoomMembers
          api={api}
          room={opened.id}
          title={titleOf(opened)}
          isDirect={opened.kind === "direct"}
          onClose={() => setOpened(undefined)}
        />
      )}
    </>
  );
}

const ICONS = { public: "hash", private: "lock", direct: "members" } as const;

function titleOf({ name, kind, id }: RoomLine): string {
  return name || (kind === "direct" ? `Direct messages ${id}` : id);
}
