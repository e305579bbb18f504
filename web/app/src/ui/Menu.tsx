import { type KeyboardEvent, useId, useRef, useState } from "react";
import { IconButton } from "./controls.tsx";
import type { IconName } from "./Icon.tsx";

export interface MenuItem {
  label: string;
  danger?: boolean;
  onSelect: () => void;
}

interface Props {
  icon?: IconName;
  label: string;
  items: readonly MenuItem[];
}

const WIDTH = 208;
const ITEM_HEIGHT = 40;

/** A button that opens a list of actions, above everything else on the page. */
export function Menu({ icon = "more", label, items }: Props) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLSpanElement>(null);
  const [isOpen, setOpen] = useState(false);

  const open = () => {
    const at = button.current?.getBoundingClientRect();
    const popover = list.current;
    if (!at || !popover) return;
    popover.showPopover();
    const below = at.bottom + 4;
    const height = items.length * ITEM_HEIGHT + 16;
    popover.style.left = `${Math.max(8, Math.min(at.right - WIDTH, innerWidth - WIDTH - 8))}px`;
    popover.style.top = `${below + height > innerHeight ? Math.max(8, at.top - height) : below}px`;
    popover.querySelector("button")?.focus();
  };

  return (
    <span ref={button} className="menu">
      <IconButton
        icon={icon}
        label={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-controls={id}
        onClick={open}
      />
      <div
        ref={list}
        id={id}
        popover="auto"
        role="menu"
        tabIndex={-1}
        aria-label={label}
        className="menu-list"
        onToggle={(event) => setOpen(event.newState === "open")}
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
    </span>
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
