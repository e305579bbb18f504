import { type KeyboardEvent, type MouseEvent, useCallback, useEffect, useRef, useState } from "react";
import { IconButton } from "./controls.tsx";
import type { IconName } from "./Icon.tsx";

export interface MenuItem {
  label: string;
  danger?: boolean;
  onSelect: () => void;
}

interface MenuProps {
  icon?: IconName;
  label: string;
  items: readonly MenuItem[];
}

const WIDTH = 208;
const ITEM_HEIGHT = 40;

/** A button that opens a list of actions. */
export function Menu({ icon = "more", label, items }: MenuProps) {
  const [at, setAt] = useState<DOMRect>();
  const close = useCallback(() => setAt(undefined), []);
  return (
    <span className="menu">
      <MenuButton icon={icon} label={label} isOpen={at !== undefined} onOpen={setAt} />
      {at && <MenuList label={label} items={items} at={at} onClose={close} />}
    </span>
  );
}

/** The button alone, where the list must outlive it: a line that moves would take an open list with it. */
export function MenuButton(props: {
  icon?: IconName;
  label: string;
  isOpen: boolean;
  onOpen: (at: DOMRect) => void;
}) {
  const open = (event: MouseEvent<HTMLButtonElement>) =>
    props.onOpen(event.currentTarget.getBoundingClientRect());
  return (
    <IconButton
      icon={props.icon ?? "more"}
      label={props.label}
      aria-haspopup="menu"
      aria-expanded={props.isOpen}
      onClick={open}
    />
  );
}

/** An open list of actions beside `at`, above everything else on the page. */
export function MenuList(props: {
  label: string;
  items: readonly MenuItem[];
  at: DOMRect;
  /** Must stay the same function. */
  onClose: () => void;
}) {
  const { label, items, at, onClose } = props;
  const list = useRef<HTMLDivElement>(null);
  const isShown = useRef(false);
  const count = items.length;
  useEffect(() => {
    const popover = list.current;
    if (!popover) return;
    if (!isShown.current) {
      isShown.current = true;
      popover.showPopover();
      popover.querySelector("button")?.focus();
    }
    const below = at.bottom + 4;
    const height = count * ITEM_HEIGHT + 16;
    popover.style.left = `${Math.max(8, Math.min(at.right - WIDTH, innerWidth - WIDTH - 8))}px`;
    popover.style.top = `${below + height > innerHeight ? Math.max(8, at.top - height) : below}px`;
  }, [at, count]);
  return (
    <div
      ref={list}
      popover="auto"
      role="menu"
      tabIndex={-1}
      aria-label={label}
      className="menu-list"
      onToggle={(event) => event.newState === "closed" && onClose()}
      onKeyDown={moveFocus}
    >
      {items.map((item) => (
        <button
          key={item.label}
          type="button"
          role="menuitem"
          tabIndex={-1}
          className={item.danger ? "menu-item menu-item-danger" : "menu-item"}
          onClick={() => {
            list.current?.hidePopover();
            item.onSelect();
          }}
        >
          {item.label}
        </button>
      ))}
    </div>
  );
}

/** Arrows, Home and End go through the items; Tab leaves the menu. */
function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const items = [...event.currentTarget.querySelectorAll("button")];
  const at = items.indexOf(document.activeElement as HTMLButtonElement);
  const to: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 };
  if (event.key === "Tab") event.currentTarget.hidePopover();
  const next = to[event.key];
  if (next === undefined) return;
  event.preventDefault();
  items.at(next % items.length)?.focus();
}
