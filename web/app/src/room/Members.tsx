import type { Member, Role, Room, RoomId, RoomState, UserId } from "chat-gateway-client";
import { type FormEvent, useCallback, useEffect, useMemo, useState } from "react";
import { useClient } from "../context.ts";
import { number } from "../format.ts";
import { explain } from "../SignIn.tsx";
import { Avatar } from "../ui/Avatar.tsx";
import { Button, Field, IconButton, Problem, Spinner } from "../ui/controls.tsx";
import { Confirm } from "../ui/Dialog.tsx";
import { MenuButton, type MenuItem, MenuList } from "../ui/Menu.tsx";

interface Props {
  room: Room;
  state: RoomState;
  onClose: () => void;
  onOpen: (room: RoomId) => void;
}

const RANK: Record<Member["role"], number> = { owner: 3, moderator: 2, member: 1, banned: 0 };
const ROLE_NAMES: Record<Member["role"], string> = {
  owner: "Owner",
  moderator: "Moderator",
  member: "",
  banned: "Banned",
};

/** The member whose menu is open, and where its button was. */
interface Open {
  id: UserId;
  at: DOMRect;
}

/** Who is in the room, who is here now, and what one may do about them. */
export function Members({ room, state, onClose, onOpen }: Props) {
  const client = useClient();
  const { api } = client;
  const { members, present, online } = state.people;
  const [problem, setProblem] = useState<string>();
  const [open, setOpen] = useState<Open>();
  const [banning, setBanning] = useState<Member>();
  const closeMenu = useCallback(() => setOpen(undefined), []);
  useEffect(() => {
    room.loadMembers().catch((error) => setProblem(explain(error)));
  }, [room]);
  const [here, away, banned] = useMemo(() => grouped(members ?? [], present), [members, present]);
  const attempt = async (request: Promise<void>) => {
    setProblem(undefined);
    try {
      await request;
      await room.loadMembers();
    } catch (error) {
      setProblem(explain(error));
    }
  };
  const write = async (member: Member) => {
    const direct = await api.direct(member.id);
    await client.refreshRooms();
    onOpen(direct.id);
  };
  const setRole = (member: Member, role: Role | "banned") =>
    void attempt(api.setRole(room.id, member.id, role));
  const itemsOf = (member: Member): MenuItem[] =>
    member.id === client.user.id
      ? []
      : itemsFor(member, state, {
          write: () => void attempt(write(member)),
          setRole: (role) => setRole(member, role),
          remove: () => void attempt(api.removeMember(room.id, member.id)),
          ban: () => setBanning(member),
        });
  const acted = open && members?.find(({ id }) => id === open.id);
  const lines = { self: client.user.id, itemsOf, open: open?.id, onMenu: setOpen };
  return (
    <aside className="members" aria-label="Members">
      <header>
        <h2>Members</h2>
        <IconButton icon="close" label="Close members" onClick={onClose} />
      </header>
      <div className="members-scroller">
        {state.role !== "member" && state.kind !== "direct" && <Invite room={room} />}
        {problem && <Problem>{problem}</Problem>}
        {!members && !problem && <Spinner label="Loading members" />}
        {!present && online > 0 && members && (
          <p className="members-note">{number(online)} of them are online.</p>
        )}
        <Group
          title={present ? "Online" : "Members"}
          members={here}
          isPresent={present !== undefined}
          {...lines}
        />
        <Group title="Offline" members={away} isPresent={false} {...lines} />
        <Group title="Banned" members={banned} isPresent={false} {...lines} />
      </div>
      {open && acted && (
        <MenuList label={menuLabel(acted)} items={itemsOf(acted)} at={open.at} onClose={closeMenu} />
      )}
      {banning && (
        <Confirm
          title={`Ban ${banning.name}?`}
          action="Ban"
          onClose={() => setBanning(undefined)}
          onConfirm={() => {
            setBanning(undefined);
            setRole(banning, "banned");
          }}
        >
          They leave the room at once and cannot come back until the ban is lifted.
        </Confirm>
      )}
    </aside>
  );
}

interface LineProps {
  self: UserId;
  isPresent: boolean;
  itemsOf: (member: Member) => MenuItem[];
  /** Whose menu is open. It is not in the line, which comes and goes with the member. */
  open: UserId | undefined;
  onMenu: (open: Open) => void;
}

function Group({ title, members, ...rest }: LineProps & { title: string; members: Member[] }) {
  if (members.length === 0) return null;
  return (
    <section>
      <h3>
        {title} <span>{number(members.length)}</span>
      </h3>
      <ul>
        {members.map((member) => (
          <MemberLine key={member.id} member={member} {...rest} />
        ))}
      </ul>
    </section>
  );
}

function MemberLine({ member, self, isPresent, itemsOf, open, onMenu }: LineProps & { member: Member }) {
  return (
    <li className="member">
      <Avatar name={member.name} small present={member.role === "banned" ? undefined : isPresent} />
      <span className="member-name">
        {member.name}
        {member.id === self && <span className="member-self"> (you)</span>}
      </span>
      {ROLE_NAMES[member.role] && member.role !== "banned" && (
        <span className="role">{ROLE_NAMES[member.role]}</span>
      )}
      {itemsOf(member).length > 0 && (
        <span className="menu">
          <MenuButton
            label={menuLabel(member)}
            isOpen={open === member.id}
            onOpen={(at) => onMenu({ id: member.id, at })}
          />
        </span>
      )}
    </li>
  );
}

function menuLabel(member: Member): string {
  return `What to do about ${member.name}`;
}

interface Actions {
  write: () => void;
  setRole: (role: Role | "banned") => void;
  remove: () => void;
  ban: () => void;
}

/** Only what the server would allow: one acts on those below oneself, and owners give roles. */
function itemsFor(member: Member, { kind, role }: RoomState, actions: Actions): MenuItem[] {
  if (kind === "direct") return [];
  const items: MenuItem[] = [];
  if (member.role !== "banned") items.push({ label: "Write to them", onSelect: actions.write });
  if (role === "member" || RANK[role] <= RANK[member.role]) return items;
  if (member.role === "banned") return [{ label: "Lift the ban", onSelect: actions.remove }];
  if (role === "owner") {
    if (member.role === "member")
      items.push({ label: "Make moderator", onSelect: () => actions.setRole("moderator") });
    if (member.role === "moderator")
      items.push({ label: "Make plain member", onSelect: () => actions.setRole("member") });
    items.push({ label: "Make owner", onSelect: () => actions.setRole("owner") });
  }
  items.push({ label: "Remove from the room", danger: true, onSelect: actions.remove });
  items.push({ label: "Ban from the room", danger: true, onSelect: actions.ban });
  return items;
}

function Invite({ room }: { room: Room }) {
  const { api } = useClient();
  const [name, setName] = useState("");
  const [told, setTold] = useState<{ problem?: string; done?: string }>({});
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      const user = await api.findUser(name);
      await api.setRole(room.id, user.id, "member");
      await room.loadMembers();
      setTold({ done: `${user.name} is in.` });
      setName("");
    } catch (error) {
      setTold({ problem: explain(error) });
    }
  };
  return (
    <form className="invite" onSubmit={submit}>
      <Field
        label="Invite by name"
        required
        autoCapitalize="none"
        spellCheck={false}
        value={name}
        error={told.problem}
        hint={told.done}
        onChange={(event) => setName(event.target.value)}
      />
      <Button type="submit">Invite</Button>
    </form>
  );
}

function grouped(
  members: readonly Member[],
  present: ReadonlyMap<string, string> | undefined,
): [Member[], Member[], Member[]] {
  const byRank = members.toSorted((a, b) => RANK[b.role] - RANK[a.role] || a.name.localeCompare(b.name));
  const inside = byRank.filter(({ role }) => role !== "banned");
  return [
    present ? inside.filter(({ id }) => present.has(id)) : inside,
    present ? inside.filter(({ id }) => !present.has(id)) : [],
    byRank.filter(({ role }) => role === "banned"),
  ];
}
