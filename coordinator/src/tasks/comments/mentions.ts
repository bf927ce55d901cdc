import type { Sql } from '../../db/client.ts';

/** More than a person writes; each is looked up. */
const MAX_MENTIONS = 50;

/**
 * What could be a mention, in order: `@name` where no word, path or address goes on before it. A sentence may end right
 * after a name ("ask @scout."), and names may contain dots: every reading is tried, the longest first.
 */
const findMentions = (text: string): string[][] =>
  [...text.matchAll(/(?<![\w@./-])@([a-z0-9][a-z0-9._-]{0,62})/gi)].slice(0, MAX_MENTIONS).map(([, found = '']) => {
    const readings = [found.toLowerCase()];
    for (let last = found.toLowerCase(); /[._-]$/.test(last);) {
      last = last.slice(0, -1);
      readings.push(last);
    }
    return readings;
  });

/** The agents of the workspace that a text names, each once, in order. */
export const knownMentions = async (sql: Sql, workspace_id: number, text: string): Promise<string[]> => {
  const mentions = findMentions(text);
  if (mentions.length === 0) return [];
  const agents = await sql<{ name: string }[]>`
    select name from agents where workspace_id = ${workspace_id} and name = any(${mentions.flat()}::text[]) and deleted_at is null`;
  const known = new Set(agents.map(({ name }) => name));
  return [...new Set(mentions.flatMap((readings) => readings.find((name) => known.has(name)) ?? []))];
};
