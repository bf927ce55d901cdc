import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { type Fleet, openFleet } from '../lib/fleet.ts';
import { openDatabase, type Sql } from '../lib/invariants.ts';
import { commands } from '../lib/ledger.ts';
import { processesOf } from '../lib/processes.ts';
import { until } from '../lib/until.ts';

const withDatabase = async <T>(fleet: Fleet, act: (sql: Sql) => Promise<T>): Promise<T> => {
  const sql = openDatabase(fleet.coordinator);
  try {
    return await act(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
};

type Running = { id: number; epoch: number; /** Its directory on the host. */ key: string };

/** Creates a task and waits until it runs at the gate. */
const begin = async (fleet: Fleet, title: string): Promise<Running> => {
  const { id } = await fleet.createTask({ title });
  await until(`"${title}" to run`, async () => (await fleet.log(id, 'stdout')).includes('waits'));
  const { epoch } = await fleet.task(id);
  if (epoch === null) throw new Error(`task ${id} runs without an epoch`);
  return { id, epoch, key: `${id}-${epoch}` };
};

/** Makes of the database an older copy: one task is not claimed yet, one is not there, and epochs go on after `last`. */
const turnBack = (fleet: Fleet, copy: { queued: number; absent: number; last: number }) =>
  withDatabase(fleet, (sql) =>
    sql.begin(async (within) => {
      const { queued, absent, last } = copy;
      for (const id of [queued, absent]) {
        await within`delete from leases where task_id = ${id}`;
        await within`delete from attempts where task_id = ${id}`;
      }
      await within`
        update tasks set status = 'inbox', claimed_by_agent_id = null, epoch = null, attempts = 0, started_at = null
        where id = ${queued}`;
      await within`delete from tasks where id = ${absent}`;
      await within`select setval('epochs', ${last})`;
    }),
  );

const countAlerts = async ({ coordinator }: Fleet): Promise<number> => {
  const metrics = await (await fetch(`${coordinator.url}/metrics`)).text();
  return Number(/^flotilla_future_epochs_total (\d+)$/m.exec(metrics)?.[1]);
};

const cases: [name: string, era: number][] = [
  ['its epochs were never given out, and that alerts', 0],
  ['as a restore leaves it, in a new era: its epochs are of a lost history', 2 ** 32],
];

describe('a database is turned back under a running agentd', () => {
  it.for(cases)('%s; what the copy does not know ends and is forgotten, the rest runs on', async ([, era], test) => {
    const fleet = await openFleet(test);
    const gate = join(fleet.dir, 'gate');
    const agent = await fleet.add({ name: 'one', slots: 3, command: commands.gate(fleet.ledger, gate) });
    const kept = await begin(fleet, 'in the copy, and claimed');
    const [pid] = agent.attemptPids('child.pid');
    // Claims of the lost history: its numbers do not come again at once.
    await withDatabase(fleet, (sql) => sql`select nextval('epochs') from generate_series(1, 10)`);
    const queued = await begin(fleet, 'in the copy, not claimed yet');
    const absent = await begin(fleet, 'not in the copy');
    expect(await countAlerts(fleet)).toBe(0);

    await turnBack(fleet, { queued: queued.id, absent: absent.id, last: kept.epoch + era });
    for (const { key } of [queued, absent]) {
      await until(`the end of ${key}`, () => processesOf(join(agent.state_dir, 'work', key)).length === 0);
      await until(`agentd to forget ${key}`, () => !agent.held().some((name) => name.startsWith(key)));
    }
    // It begins anew, as any task in the queue, while the other one never noticed.
    await until('the queued task to run again', () => fleet.ledger.starts(queued.id) === 2);
    await until('nothing but the two', () => agent.held().length === 2 && agent.held().includes(kept.key));
    expect(agent.attemptPids('child.pid')).toContain(pid);
    const alerts = await countAlerts(fleet);
    const events = await withDatabase(fleet, (sql) => sql`select 1 from events where type = 'agent.future_epochs'`);
    if (era === 0) expect([alerts, events.length].every((count) => count > 0)).toBe(true);
    else expect([alerts, events.length]).toEqual([0, 0]);

    writeFileSync(gate, '');
    const done = await fleet.ended([kept.id, queued.id]);
    const once = { status: 'done', attempts: 1, dispatch_attempts: 0, stale_requeues: 0 };
    expect(done).toMatchObject([{ ...once, epoch: kept.epoch }, once]);
    expect(done[1]?.epoch).toBeGreaterThan(kept.epoch + era);
    expect(done[1]?.epoch).not.toBe(queued.epoch);
    expect([kept.id, queued.id, absent.id].map((id) => [fleet.ledger.starts(id), fleet.ledger.ends(id)])).toEqual([
      [1, 1],
      [2, 1],
      [1, 0],
    ]);
    await expect(fleet.task(absent.id)).rejects.toMatchObject({ status: 404 });
    await fleet.audit();
  });
});
