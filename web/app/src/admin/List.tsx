import { type ReactNode, useId } from "react";
import { Button, Field, Problem, Spinner } from "../ui/controls.tsx";
import { TableScroller } from "./TableScroller.tsx";
import type { Pages } from "./usePages.ts";

interface Props<T> {
  title: string;
  pages: Pages<T>;
  search: string;
  onSearch: (search: string) => void;
  columns: readonly string[];
  draw: (item: T) => ReactNode;
}

/** A table of users or rooms, with a field to search in it. */
export function List<T>({ title, pages, search, onSearch, columns, draw }: Props<T>) {
  const id = useId();
  const { items, more, problem, loadMore } = pages;
  return (
    <section className="panel" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <Field
        label="Name begins with"
        type="search"
        autoCapitalize="none"
        spellCheck={false}
        value={search}
        onChange={(event) => onSearch(event.target.value)}
      />
      {problem && <Problem>{problem}</Problem>}
      {!items && !problem && <Spinner label={`Loading ${title.toLowerCase()}`} />}
      {items?.length === 0 && <p className="panel-none">{search ? "No such name." : "None yet."}</p>}
      {items && items.length > 0 && (
        <TableScroller label={`${title} found`}>
          <table>
            <thead>
              <tr>
                {columns.map((column) => (
                  <th key={column} scope="col">
                    {column}
                  </th>
                ))}
                <th scope="col">
                  <span className="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>{items.map(draw)}</tbody>
          </table>
        </TableScroller>
      )}
      {more && <Button onClick={loadMore}>Show more</Button>}
    </section>
  );
}
