import { describe, expect, it } from 'vitest';

import { openFleet } from '../lib/fleet.ts';
import { openDatabase } from '../lib/invariants.ts';
import { commands } from '../lib/ledger.ts';
import { type Rule, startProxy } from '../lib/proxy.ts';
import { createRandom, isLong, pickSeed } from '../lib/random.ts';
import { elapse, until } from '../lib/until.ts';
import { addWork, expectDone, expectOnce, type Work } from '../lib/work.ts';

const DROP_MS = isLong ? 60_000 : 5_000;
/** 10 s after the heal, with 3× slack. */
const HEAL_MS = 30_000;

describe('R2: lost answers', () => {
  it('every claim answer is dropped after commit for a while: each task is started exactly once', async (test) => {
    // As in real life the lease is longer than the fault; nobody renews a claim that nobody heard of.
    const fleet = await openFleet(test, { FLOTILLA_LEASE_MS: '90000' });
    const proxy = await startProxy(fleet.coordinator.url);
    test.onTestFinished(() => proxy.close());
    proxy.set([{ match: /^POST \S+\/tasks\/claim/, fault: { kind: 'drop_after' } }]);
    for (const name of ['one', 'two'])
      await fleet.add({ name, slots: 4, url: proxy.url, command: commands.work(fleet.ledger) });
    const work: Work = new Map();
    for (let index = 0; index < 14; index++) await addWork(fleet, work, 5, '0.02');

    const dropped = () =>
      proxy.exchanges.filter(({ fault, answer }) => fault === 'drop_after' && answer.includes('"epoch"'));
    await until(
      'two agents to lose a claim',
      () => new Set(dropped().map(({ answer }) => answer.slice(0, 40))).size >= 2,
    );
    await elapse(DROP_MS);
    // Both hold something they know nothing of, and ask for the same again and again.
    const sql = openDatabase(fleet.coordinator);
    const [live] = await sql`select count(*)::int as attempts, count(distinct claim_id)::int as claims from attempts`;
    await sql.end();
    expect(live?.claims).toBe(2);
    expect(live?.attempts).toBeLessThanOrEqual(8);
    expect(dropped().length).toBeGreaterThan(4);
    expect(fleet.ledger.allStarts()).toBe(0);

    proxy.heal();
    expectOnce(fleet, await expectDone(fleet, work, HEAL_MS));
    await fleet.audit();
  });

  it('every kind of fault on every kind of request, at random: each task ends once, its log is whole', async (test) => {
    const random = createRandom(pickSeed('R2 every fault'));
    const fleet = await openFleet(test);
    const proxy = await startProxy(fleet.coordinator.url);
    test.onTestFinished(() => proxy.close());
    for (const name of ['one', 'two'])
      await fleet.add({ name, slots: 4, url: proxy.url, command: commands.work(fleet.ledger) });
    const work: Work = new Map();
    for (let index = 0; index < 16; index++) await addWork(fleet, work, random.between(1, 30), '0.03');

    const targets = [/\/tasks\/claim/, /\/complete/, /\/log\?/, /\/heartbeat/, /\/start/];
    const faults = ['drop_before', 'drop_after', 'answer_502_html', 'answer_200_html', 'delay'] as const;
    for (let turn = 0; turn < 12; turn++) {
      const rules = targets.map((match): Rule => {
        const kind = random.pick(faults);
        return { match, times: 2, fault: kind === 'delay' ? { kind, ms: random.between(10, 300) } : { kind } };
      });
      proxy.set(rules);
      await elapse(300);
    }
    proxy.heal();
    expectOnce(fleet, await expectDone(fleet, work));
    expect(proxy.exchanges.filter(({ fault }) => fault !== null).length).toBeGreaterThan(20);
    await fleet.audit();
  });
});
