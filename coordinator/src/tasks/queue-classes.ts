import type { Sql } from '../db/client.ts';
import type { Database } from '../db/database.ts';

/** What a task demands of an agent, and so the unit in which the queue is scanned and woken. */
export type QueueClass = {
  id: number;
  workspace_id: number;
  kind: string;
  assigned_agent_id: number | null;
  required_tags: string[];
  executor: string | null;
};

/** The facts of an agent that classes are matched against. Executors are a capability: they only ever narrow. */
export type Matchable = { id: number; workspace_id: number; tags: string[]; executors: string[] };

type Demand = { required_tags: string[]; executor: string | null };
type Abilities = Pick<Matchable, 'tags' | 'executors'>;

/** The executor that a demand names and the agent does not offer, else null. */
export const missingExecutor = ({ executor }: Demand, agent: Abilities): string | null =>
  agent.executors.length === 0 || (executor !== null && agent.executors.includes(executor)) ? null : executor;

export const missingTags = ({ required_tags }: Demand, agent: Abilities): string[] =>
  required_tags.filter((tag) => !agent.tags.includes(tag));

export const classMatches = (c: QueueClass, agent: Matchable): boolean =>
  c.workspace_id === agent.workspace_id &&
  (c.assigned_agent_id === null || c.assigned_agent_id === agent.id) &&
  missingExecutor(c, agent) === null &&
  missingTags(c, agent).length === 0;

/** Tags as stored and compared: each once, sorted. */
export const normalizeTags = (tags: string[]): string[] => [...new Set(tags)].toSorted();

export type QueueClasses = {
  /** The class, if this coordinator knows it. */
  find(key: Omit<QueueClass, 'id'>): number | null;
  /** Finds or creates the class; inside the caller's transaction. */
  intern(db: Database, key: Omit<QueueClass, 'id'>): Promise<number>;
  /** Looks for classes that other coordinators made, unless it just did and nobody spoke of an unknown one since. */
  refresh(sql: Sql): Promise<void>;
  get(id: number): QueueClass | null;
  matching(agent: Matchable): number[];
};

/** A class that another coordinator made without a hint that arrives is seen this late. */
const REFRESH_MS = 100;

/** Longer than any transaction: whoever took a lower id has committed or rolled back by then. */
const SETTLE_MS = 60_000;

/** Sets of tags and executors whose classes are remembered; beyond, all are found out again. */
const MAX_MATCHED = 1_000;

const keyOf = (c: Omit<QueueClass, 'id'>) =>
  JSON.stringify([c.workspace_id, c.kind, c.assigned_agent_id, c.required_tags, c.executor]);

/** Classes are never changed or removed, so every coordinator may cache all of them. */
export const createQueueClasses = (): QueueClasses => {
  const byId = new Map<number, QueueClass>();
  const byKey = new Map<string, number>();
  /** Of a workspace those that are for anybody, and of an agent those for it alone: a fleet may have one of these each. */
  const forAnybody = new Map<number, QueueClass[]>();
  const forAgent = new Map<number, QueueClass[]>();
  /** What matches of the former, by workspace and abilities. Agents have few sets of tags and executors. */
  const matched = new Map<string, number[]>();
  let newest = 0;
  let refreshed_at = -Infinity;
  // Ids become visible in the order of commits, not of ids: what is newer than `settled` is read again every time.
  let settled = 0;
  let candidate = 0;
  let candidate_since = performance.now();

  const remember = (c: QueueClass) => {
    if (byId.has(c.id)) return;
    byId.set(c.id, c);
    byKey.set(keyOf(c), c.id);
    if (c.assigned_agent_id === null) {
      forAnybody.set(c.workspace_id, [...(forAnybody.get(c.workspace_id) ?? []), c]);
      matched.clear();
    } else forAgent.set(c.assigned_agent_id, [...(forAgent.get(c.assigned_agent_id) ?? []), c]);
  };

  const idsOf = (classes: QueueClass[] | undefined, agent: Matchable): number[] =>
    (classes ?? []).filter((c) => classMatches(c, agent)).map((c) => c.id);

  const matchingAnybody = (agent: Matchable): number[] => {
    const key = JSON.stringify([agent.workspace_id, agent.tags, agent.executors]);
    const known = matched.get(key);
    if (known !== undefined) return known;
    const ids = idsOf(forAnybody.get(agent.workspace_id), agent);
    if (matched.size >= MAX_MATCHED) matched.clear();
    matched.set(key, ids);
    return ids;
  };

  const normalized = (given: Omit<QueueClass, 'id'>) => ({
    ...given,
    required_tags: normalizeTags(given.required_tags),
  });
  const find: QueueClasses['find'] = (given) => byKey.get(keyOf(normalized(given))) ?? null;

  return {
    find,
    get: (id) => {
      const known = byId.get(id) ?? null;
      if (known === null) refreshed_at = -Infinity;
      return known;
    },
    matching: (agent) => [...matchingAnybody(agent), ...idsOf(forAgent.get(agent.id), agent)],
    refresh: async (sql) => {
      if (performance.now() - refreshed_at < REFRESH_MS) return;
      refreshed_at = performance.now();
      const rows = await sql<QueueClass[]>`
        select id, workspace_id, kind, assigned_agent_id, required_tags, executor
        from queue_classes where id > ${settled} order by id`;
      for (const row of rows) {
        remember(row);
        newest = Math.max(newest, row.id);
      }
      if (performance.now() - candidate_since > SETTLE_MS) {
        settled = candidate;
        candidate = newest;
        candidate_since = performance.now();
      }
    },
    intern: async (db, given) => {
      const known = find(given);
      if (known !== null) return known;
      const key = normalized(given);
      const [made] = await db.sql<{ id: number }[]>`
        insert into queue_classes (workspace_id, kind, assigned_agent_id, required_tags, executor)
        values (${key.workspace_id}, ${key.kind}, ${key.assigned_agent_id}, ${key.required_tags}::text[], ${key.executor})
        on conflict on constraint queue_classes_key do update set kind = excluded.kind
        returning id`;
      if (made === undefined) throw new Error('queue class was neither inserted nor found');
      // Not before: the caller's transaction may still roll back.
      db.afterCommit(() => remember({ id: made.id, ...key }));
      return made.id;
    },
  };
};
