/** How one kind of resource looks to a person. JSON and YAML never pass through here: they are the API's resource. */
export type Column<T> = { head: string; cell: (row: T, now: number) => string; wide?: boolean };

export type View<T> = {
  /** For "no tasks" and "more tasks". */
  plural: string;
  /** What `-o name` prints: something that every command accepts again. */
  name: (row: T) => string;
  columns: readonly Column<T>[];
  /** Further lines of `get`. */
  details?: readonly Column<T>[];
  /** Long texts under the lines of `get`. */
  texts?: readonly { head: string; text: (row: T) => string | null }[];
};
