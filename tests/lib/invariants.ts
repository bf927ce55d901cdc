import postgres from 'postgres';

import type { Coordinator } from './coordinator.ts';
import { until } from './until.ts';

export type Sql = postgres.Sql;

/** Opens the database of a running coordinator, bundled or external. */
export const openDatabase = (coordinator: Coordinator): Sql =>
  postgres({
    ...coordinator.connection(),
    max: 1,
    onnotice: () => {},
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
  });

const liveAttempts = `(select * from attempts where ended_at is null)`;

/** What must never be true, at any moment: each query answers the rows that break the invariant of its name. */
const ALWAYS: Record<string, string> = {
  'I0: at most one live attempt per task': `select task_id from ${liveAttempts} a group by task_id having count(*) > 1`,
  'I0: a live attempt has the newest epoch of its task': `
    select a.id from ${liveAttempts} a where a.epoch < (select max(b.epoch) from attempts b where b.task_id = a.task_id)`,
  'I1: a terminal task has no live attempt': `
    select t.id, t.status from tasks t join ${liveAttempts} a on a.task_id = t.id where t.status in ('done', 'failed', 'cancelled', 'review')`,
  'I1: no more than 25 attempts': `select task_id from attempts group by task_id having count(*) > 25`,
  'I2: a lease belongs to exactly one live attempt': `
    select a.id as attempt, l.task_id as lease from ${liveAttempts} a
    full join leases l on l.attempt_id = a.id and l.task_id = a.task_id and l.epoch = a.epoch and l.agent_id = a.agent_id
    where a.id is null or l.task_id is null`,
  'I2: no more live attempts than slots': `
    select g.id from agents g join ${liveAttempts} a on a.agent_id = g.id
    group by g.id having count(*) > least(coalesce(g.slots_reported, g.slots_default), g.slots_ceiling)`,
  'I2: in_progress means a live attempt of the claimer with the epoch of the task': `
    select t.id, t.status, a.id as attempt from (select * from tasks where status = 'in_progress') t
    full join ${liveAttempts} a on a.task_id = t.id and a.epoch = t.epoch and a.agent_id = t.claimed_by_agent_id
    where t.id is null or a.id is null`,
  'an ended attempt says how': `select id from attempts where (ended_at is null) <> (state in ('claimed', 'running'))`,
  'the epoch sequence is above every epoch': `select id from attempts where epoch > (select last_value from epochs)`,
  'nothing refers to another workspace': `
    select a.id from attempts a join tasks t on t.id = a.task_id join agents g on g.id = a.agent_id
    where a.workspace_id <> t.workspace_id or a.workspace_id <> g.workspace_id`,
  'positions of events have no gap': `
    select seq from (select seq, lead(seq) over (order by seq) as following from events where seq is not null) e where following <> seq + 1`,
  'the log of an attempt is contiguous': `
    select attempt_id, stream from (
      select attempt_id, stream, start + length(data) as chunk_end, lead(start) over (partition by attempt_id, stream order by start) as following
      from attempt_logs) c
    where following is not null and following <> chunk_end`,
};

const UNSETTLED = `
  select (select count(*) from events where seq is null) + (select count(*) from audit_events where seq is null) as waiting`;

/** What must hold as soon as the background loops had their turn. */
const SETTLED: Record<string, string> = {
  'every event has a position and the last one is the sequencer’s': `
    select last_seq from sequencer where chain = 'events' and last_seq <> (select coalesce(max(seq), 0) from events)`,
  'the audit chain has no gap': `
    select seq from (select seq, lead(seq) over (order by seq) as following from audit_events) e where following <> seq + 1`,
  'events of a task count its versions up': `
    select entity_id from (select entity_id, version, lag(version) over (partition by entity_id order by seq) as before
      from events where type like 'task.%') e where version < before`,
};

const broken = async (sql: Sql, queries: Record<string, string>): Promise<string[]> => {
  const found: string[] = [];
  // One snapshot for all of them: a claim between two queries must not look like a breach.
  await sql.begin('isolation level repeatable read read only', async (within) => {
    for (const [name, query] of Object.entries(queries)) {
      const rows = await within.unsafe(query);
      if (rows.length > 0) found.push(`${name}: ${JSON.stringify(rows.slice(0, 5))}`);
    }
  });
  return found;
};

/** Fails with every broken invariant and some of its rows. */
export const auditInvariants = async (coordinator: Coordinator): Promise<void> => {
  const sql = openDatabase(coordinator);
  try {
    await until(
      'events and audit to be sequenced',
      async () => Number((await sql.unsafe(UNSETTLED))[0]?.waiting) === 0,
    );
    const found = await broken(sql, { ...ALWAYS, ...SETTLED });
    if (found.length > 0) throw new Error(`broken invariants:\n${found.join('\n')}`);
  } finally {
    await sql.end({ timeout: 1 });
  }
};

/** The invariants that hold at every moment, while work goes on. */
export const auditRunning = async (coordinator: Coordinator): Promise<void> => {
  const sql = openDatabase(coordinator);
  try {
    const found = await broken(sql, ALWAYS);
    if (found.length > 0) throw new Error(`broken invariants:\n${found.join('\n')}`);
  } finally {
    await sql.end({ timeout: 1 });
  }
};
