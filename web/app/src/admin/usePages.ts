import { useCallback, useEffect, useState } from "react";
import { explain } from "../SignIn.tsx";
import type { Page } from "./api.ts";

const TYPING_MS = 250;
const RENEW_MS = 10_000;

export interface Pages<T> {
  /** Undefined until the first page is there. */
  items: readonly T[] | undefined;
  more: boolean;
  problem: string | undefined;
  loadMore: () => void;
  /** Carries out a request, and reads the list again. */
  attempt: (request: Promise<void>) => Promise<void>;
}

/**
 * A list that is searched and paged. `read` must be the same function as long as the same is searched for; the first
 * page is read again now and then, unless the reader has gone on to further ones.
 */
export function usePages<T>(read: (after?: string) => Promise<Page<T>>, idOf: (item: T) => string): Pages<T> {
  const [page, setPage] = useState<Page<T> & { count: number }>();
  const [problem, setProblem] = useState<string>();
  const begin = useCallback(async () => {
    try {
      setPage({ ...(await read()), count: 1 });
      setProblem(undefined);
    } catch (error) {
      setProblem(explain(error));
    }
  }, [read]);

  useEffect(() => {
    const timer = setTimeout(() => void begin(), TYPING_MS);
    return () => clearTimeout(timer);
  }, [begin]);

  const isFirst = (page?.count ?? 1) === 1;
  useEffect(() => {
    if (!isFirst) return;
    const timer = setInterval(() => document.visibilityState === "visible" && void begin(), RENEW_MS);
    return () => clearInterval(timer);
  }, [begin, isFirst]);

  const loadMore = async () => {
    const last = page?.items.at(-1);
    if (!page || !last) return;
    try {
      const next = await read(idOf(last));
      setPage({ items: [...page.items, ...next.items], more: next.more, count: page.count + 1 });
    } catch (error) {
      setProblem(explain(error));
    }
  };
  const attempt = async (request: Promise<void>) => {
    try {
      await request;
      await begin();
    } catch (error) {
      setProblem(explain(error));
    }
  };
  return {
    items: page?.items,
    more: page?.more ?? false,
    problem,
    loadMore: () => void loadMore(),
    attempt,
  };
}
