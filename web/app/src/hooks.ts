/** What components share: stores, the address, the theme, widths. */

import type { Store } from "chat-gateway-client";
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";

/** The present state of a store; the component is drawn again when it changes. */
export function useStore<T extends object>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.snapshot);
}

/** The room in the address (`#/room/ID`), and what goes to another. */
export function useRoute(): [string | undefined, (room: string | undefined) => void] {
  const hash = useSyncExternalStore(subscribeToHash, () => location.hash);
  const go = useCallback((room: string | undefined) => {
    location.hash = room ? `#/room/${room}` : "#/";
  }, []);
  return [/^#\/room\/([a-z0-9_-]{1,32})$/.exec(hash)?.[1], go];
}

function subscribeToHash(changed: () => void): () => void {
  addEventListener("hashchange", changed);
  return () => removeEventListener("hashchange", changed);
}

export function useMediaQuery(query: string): boolean {
  const subscribe = useCallback(
    (changed: () => void) => {
      const media = matchMedia(query);
      media.addEventListener("change", changed);
      return () => media.removeEventListener("change", changed);
    },
    [query],
  );
  return useSyncExternalStore(subscribe, () => matchMedia(query).matches);
}

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** The reader's choice, kept on the device. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(rememberedTheme);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    remember("theme", theme === "system" ? "" : theme);
  }, [theme]);
  return [theme, setTheme];
}

export function rememberedTheme(): Theme {
  return THEMES.find((theme) => theme === remembered("theme")) ?? "system";
}

/** Whether somebody looks at the page: visible, and in front. */
export function useAttention(): boolean {
  return useSyncExternalStore(subscribeToAttention, hasAttention);
}

function hasAttention(): boolean {
  return document.visibilityState === "visible" && document.hasFocus();
}

function subscribeToAttention(changed: () => void): () => void {
  const kinds = ["focus", "blur", "visibilitychange"] as const;
  for (const kind of kinds) addEventListener(kind, changed);
  document.addEventListener("visibilitychange", changed);
  return () => {
    for (const kind of kinds) removeEventListener(kind, changed);
    document.removeEventListener("visibilitychange", changed);
  };
}

/** The time, anew every `everyMs` while `running`. */
export function useNow(everyMs: number, running: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!running) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, running]);
  return now;
}

/** The latest value, for callbacks that must not change. */
export function useLatest<T>(value: T): { readonly current: T } {
  const ref = useRef(value);
  ref.current = value;
  return ref;
}

/** What the device keeps; nothing where the browser forbids it. */
export function remembered(name: string): string | undefined {
  try {
    return localStorage.getItem(name) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Keeps a text, or forgets it if it is empty. */
export function remember(name: string, value: string): void {
  try {
    if (value) localStorage.setItem(name, value);
    else localStorage.removeItem(name);
  } catch {
    // Then it lasts as long as the page.
  }
}
