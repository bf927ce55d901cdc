import type { Database } from '../../db/database.ts';
import { foldCase } from './fold-case.ts';

/** A tsvector holds 1 MB at most and fails beyond: of long texts only the beginning is found, of comments the newest. */
const INDEXED_CHARACTERS = 60_000;

type Texts = { title: string; description: string; said: string | null };

/**
 * Writes the words of a task anew from its texts; in the transaction that changed one. Locks after the task (if that is
 * locked at all). The row is locked by a statement of its own: the next one then sees the comments of whoever held it.
 */
export const indexTask = async (db: Database, task_id: number): Promise<void> => {
  const { sql } = db;
  await sql`select 1 from task_search where task_id = ${task_id} for update`;
  const [texts] = await sql<Texts[]>`
    select t.title, left(t.description, ${INDEXED_CHARACTERS}) as description, (
      select left(string_agg(text, ' ' order by id desc), ${INDEXED_CHARACTERS}) from task_comments where task_id = t.id and deleted_at is null) as said
    from tasks t where t.id = ${task_id}`;
  if (texts !== undefined) await writeWords(db, task_id, texts);
};

/** The words of a text of a task that was just made, as its insert takes them. */
export const wordsOf = (text: string): string => foldCase(text.slice(0, INDEXED_CHARACTERS));

const writeWords = async ({ sql }: Database, task_id: number, { title, description, said }: Texts): Promise<void> => {
  await sql`
    insert into task_search (task_id, workspace_id, document)
    select id, workspace_id, setweight(to_tsvector('simple', ${foldCase(title)}), 'A') || setweight(to_tsvector('simple', ${foldCase(description)}), 'B')
      || setweight(to_tsvector('simple', ${foldCase(said ?? '')}), 'C')
    from tasks where id = ${task_id}
    on conflict (task_id) do update set document = excluded.document`;
};
