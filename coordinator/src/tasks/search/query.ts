import type { Sql } from '../../db/client.ts';
import { foldCase } from './fold-case.ts';

/** Of a canonical tsquery: an operator, or a quoted word with what stands right before and after it. */
const WORD = /(!?)'((?:[^']|'')*)'( <(?:-|\d+)>)?/g;

/**
 * What people type, as a tsquery. Postgres reads it (`websearch_to_tsquery` never fails and takes nothing as syntax of
 * its own); then every word that is neither excluded nor part of a phrase also stands for longer ones. Null: no words.
 */
export const searchQuery = async (sql: Sql, search: string): Promise<string | null> => {
  const [row] = await sql<
    { query: string }[]
  >`select websearch_to_tsquery('simple', ${foldCase(search)})::text as query`;
  const query = row?.query ?? '';
  if (query === '') return null;
  let in_phrase = false;
  return query.replaceAll(WORD, (whole: string, not: string, word: string, phrase: string | undefined) => {
    const exact = not !== '' || in_phrase || phrase !== undefined;
    in_phrase = phrase !== undefined;
    return exact ? whole : `'${word}':*`;
  });
};
