import { useCallback, useState } from "react";
import { number } from "../format.ts";
import { Confirm } from "../ui/Dialog.tsx";
import { Menu, type MenuItem } from "../ui/Menu.tsx";
import type { AdminApi, UserLine } from "./api.ts";
import { List } from "./List.tsx";
import { usePages } from "./usePages.ts";

/** Accounts: who is connected, and what one may do about them. `self` is left alone. */
export function Users({ api, self }: { api: AdminApi; self: string }) {
  const [search, setSearch] = useState("");
  const [banning, setBanning] = useState<UserLine>();
  const read = useCallback((after?: string) => api.users(search.trim(), after), [api, search]);
  const pages = usePages(read, (user) => user.id);
  const itemsFor = (user: UserLine): MenuItem[] => {
    const close = { label: "End all sessions", onSelect: () => pages.attempt(api.act(user.id, "close")) };
    if (user.banned)
      return [{ label: "Lift the ban", onSelect: () => pages.attempt(api.act(user.id, "unban")) }];
    const ban = { label: "Ban the account", danger: true, onSelect: () => setBanning(user) };
    return user.connections > 0 ? [close, ban] : [ban];
  };
  return (
    <>
      <List
        title="Users"
        pages={pages}
        search={search}
        onSearch={setSearch}
        columns={["Name", "Connections"]}
        draw={(user) => (
          <tr key={user.id} data-user={user.id}>
            <th scope="row">
              {user.name}
              {user.admin && <span className="tag">admin</span>}
              {user.banned && <span className="tag tag-warning">banned</span>}
            </th>
            <td>{number(user.connections)}</td>
            <td className="table-menu">
              {user.id !== self && <Menu label={`What to do about ${user.name}`} items={itemsFor(user)} />}
            </td>
          </tr>
        )}
      />
      {banning && (
        <Confirm
          title={`Ban ${banning.name}?`}
          action="Ban"
          onClose={() => setBanning(undefined)}
          onConfirm={() => {
            setBanning(undefined);
            void pages.attempt(api.act(banning.id, "ban"));
          }}
        >
          All their sessions end at once, on every node, and they cannot sign in until the ban is lifted.
        </Confirm>
      )}
    </>
  );
}
