import { describe, expect, it } from 'vitest';

import { SHORT_LEASES } from '../lib/coordinator.ts';
import { type Fleet, openFleet } from '../lib/fleet.ts';
import { commands } from '../lib/ledger.ts';
import { createRandom, pickSeed } from '../lib/random.ts';
import { elapse, until } from '../lib/until.ts';
import { addWork, expectDone, expectOnce, type Work } from '../lib/work.ts';

const KILLS = 4;

const everyTask = async (fleet: Fleet): Promise<number[]> => {
  const ids: number[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await fleet.client.tasks.list({ query: { limit: 500, cursor } });
    ids.push(...page.tasks.map(({ id }) => id));
    if (page.next_cursor === null) return ids;
    cursor = page.next_cursor;
  }
};

describe('I3: the coordinator is killed', () => {
  it('again and again while tasks are created and run: what was acknowledged is there, every task runs once', async (test) => {
    const random = createRandom(pickSeed('coordinator killed'));
    // Long enough for any back-off after the last kill: here nothing may be given to anybody else.
    const fleet = await openFleet(test, { FLOTILLA_LEASE_MS: '90000' });
    for (const name of ['one', 'two']) await fleet.add({ name, slots: 4, command: commands.work(fleet.ledger) });
    const work: Work = new Map();
    const stop = new AbortController();
    const creator = (async () => {
      while (!stop.signal.aborted) await addWork(fleet, work, random.between(0, 40), '0.03');
    })();
    for (let kill = 0; kill < KILLS; kill++) {
      const before = work.size;
      await until('some tasks to be acknowledged', () => work.size > before + 3);
      await elapse(random.between(0, 700));
      await fleet.coordinator.kill();
      await fleet.coordinator.start();
    }
    stop.abort();
    await creator;
    expectOnce(fleet, await expectDone(fleet, work, 90_000));
    // A creation whose answer was lost was repeated under its key: no task is there twice.
    expect((await everyTask(fleet)).toSorted((a, b) => a - b)).toEqual([...work.keys()].toSorted((a, b) => a - b));
    await fleet.audit();
  });
});

describe('R15: the coordinator is away for longer than a lease and its grace', () => {
  it('everything that ended meanwhile is delivered, nothing is executed again', async (test) => {
    const fleet = await openFleet(test, {
      ...SHORT_LEASES,
      FLOTILLA_LEASE_MS: '4000',
      FLOTILLA_REQUEUE_GRACE_MS: '1000',
      // A busy machine lets hosts come back late; a minute is the least in earnest.
      FLOTILLA_GAP_WAIT_MIN_MS: '8000',
      FLOTILLA_GAP_WAIT_MAX_MS: '8000',
    });
    for (const name of ['one', 'two', 'three'])
      await fleet.add({ name, slots: 4, command: commands.work(fleet.ledger) });
    const work: Work = new Map();
    // Six end during the outage, four go on beyond it, and two wait in the queue.
    for (let index = 0; index < 12; index++) await addWork(fleet, work, index < 6 ? 30 : 200, '0.05');
    await until('all to run', () => [...work.keys()].every((id) => fleet.ledger.starts(id) === 1));
    for (const name of ['late-one', 'late-two']) await addWork(fleet, work, name.length, '0');

    expect(await fleet.coordinator.stop()).toMatchObject({ code: 0 });
    await elapse(8_000);
    await until('six to end meanwhile', () => [...work.keys()].filter((id) => fleet.ledger.ends(id) === 1).length >= 6);
    await fleet.coordinator.start();

    expectOnce(fleet, await expectDone(fleet, work));
    await fleet.audit();
  });
});
