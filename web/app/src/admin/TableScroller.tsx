import type { ReactNode } from "react";

/** A table that may be wider than the page. */
export function TableScroller({ label, children }: { label: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section className="table-scroller" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}
