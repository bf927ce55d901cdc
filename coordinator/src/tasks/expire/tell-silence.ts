import type { Database } from '../../db/database.ts';

/** What happened to an attempt whose host is lost: the first sentence of its failure, for people. */
export const tellSilence = async (
  { sql }: Database,
  { attempt_id, epoch }: { attempt_id: number; epoch: number },
): Promise<string> => {
  const [agent] = await sql<{ name: string }[]>`
    select name from agents a join attempts t on t.agent_id = a.id where t.id = ${attempt_id}`;
  return `${agent?.name} fell silent and its lease (epoch ${epoch}) ran out.`;
};
