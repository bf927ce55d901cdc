import { randomUUID } from 'node:crypto';

import { describe, expect, it, type TestContext } from 'vitest';

import { ADMIN_TOKEN } from '../lib/coordinator.ts';
import { type Fleet, openFleet } from '../lib/fleet.ts';
import { commands } from '../lib/ledger.ts';
import { childrenOf, signal as sendSignal } from '../lib/processes.ts';
import { type RawAnswer, sendRaw } from '../lib/raw.ts';
import { isLong } from '../lib/random.ts';
import { elapse, until } from '../lib/until.ts';
import { addWork, expectDone, expectOnce, type Work } from '../lib/work.ts';

const OUTAGE_MS = isLong ? 15_000 : 4_000;

type Probe = { answers: RawAnswer[]; created: number[]; stop(): Promise<void> };

/** Asks for everything all the time, as people and their scripts do; what is acknowledged goes into `created`. */
const startProbe = (test: TestContext, fleet: Fleet): Probe => {
  const answers: RawAnswer[] = [];
  const created: number[] = [];
  const over = new AbortController();
  const { signal } = over;
  const url = fleet.coordinator.url;
  const ask = async (request: Parameters<typeof sendRaw>[1]) => {
    // No answer at all counts as one: the coordinator must outlive its database.
    const answer = await sendRaw(url, { token: ADMIN_TOKEN, ...request }).catch((error: Error): RawAnswer => ({
      status: 0,
      headers: {},
      text: error.message,
      json: {},
    }));
    answers.push(answer);
    return answer;
  };
  const reader = async () => {
    while (!signal.aborted) {
      for (const path of ['/tasks?limit=5', '/agents', '/status', '/me']) await ask({ method: 'GET', path });
      await elapse(10);
    }
  };
  const writer = async () => {
    while (!signal.aborted) {
      const headers = { 'idempotency-key': randomUUID() };
      const body = JSON.stringify({ title: '1 0', status: 'backlog' });
      let answer = await ask({ method: 'POST', path: '/tasks', headers, body });
      while (!signal.aborted && answer.status !== 201) {
        await elapse(50);
        answer = await ask({ method: 'POST', path: '/tasks', headers, body });
      }
      if (answer.status === 201) created.push(Number(answer.json.id));
      await elapse(20);
    }
  };
  const done = Promise.all([reader(), writer()]);
  const stop = async () => {
    over.abort();
    await done;
  };
  test.onTestFinished(stop);
  return { answers, created, stop };
};

const startTen = async (fleet: Fleet): Promise<Work> => {
  const work: Work = new Map();
  for (const name of ['one', 'two']) await fleet.add({ name, slots: 5, command: commands.work(fleet.ledger) });
  for (let index = 0; index < 10; index++) await addWork(fleet, work, 20 + index * 12, '0.05');
  await until('all ten to run', () => [...work.keys()].every((id) => fleet.ledger.starts(id) === 1));
  return work;
};

/** All ten were done by the processes that began them, and nothing that was acknowledged is missing. */
const expectUnharmed = async (fleet: Fleet, work: Work, probe: Probe) => {
  expectOnce(fleet, await expectDone(fleet, work));
  for (const id of work.keys()) expect(fleet.ledger.ends(id)).toBe(1);
  for (const id of probe.created) expect((await fleet.task(id)).status).toBe('backlog');
  expect(new Set(probe.created).size).toBe(probe.created.length);
  const strange = probe.answers.filter(({ status }) => status !== 200 && status !== 201 && status !== 503);
  expect(strange.map(({ status, text }) => `${status} ${text}`)).toEqual([]);
  for (const { json, headers } of probe.answers.filter(({ status }) => status === 503)) {
    expect(json).toMatchObject({ code: 'unavailable', request_id: expect.any(String) as string });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
  }
  await fleet.audit();
};

describe('R6: Postgres refuses while 10 tasks run', () => {
  it('killed again and again: 503 with Retry-After, never 500, no task notices, nothing acknowledged is lost', async (test) => {
    const fleet = await openFleet(test);
    const work = await startTen(fleet);
    const probe = startProbe(test, fleet);
    const end = performance.now() + OUTAGE_MS;
    let kills = 0;
    for (let last = 0; performance.now() < end;) {
      const pid = await until('a postmaster', () => fleet.coordinator.postmaster(), 20_000);
      if (pid === last) {
        await elapse(20);
        continue;
      }
      last = pid;
      sendSignal(pid, 'SIGKILL');
      kills += 1;
    }
    expect(fleet.coordinator.running(), 'the coordinator outlives its Postgres').toBe(true);
    expect(kills).toBeGreaterThan(2);
    const acknowledged = probe.created.length;
    await until('creations to be acknowledged again', () => probe.created.length > acknowledged + 2);
    await probe.stop();
    expect(probe.answers.filter(({ status }) => status === 503).length).toBeGreaterThan(0);
    await expectUnharmed(fleet, work, probe);
  });

  it('stopped and continued: requests wait or are 503, no task notices', async (test) => {
    const fleet = await openFleet(test);
    const work = await startTen(fleet);
    const probe = startProbe(test, fleet);
    await until('a creation', () => probe.created.length > 2);
    const postmaster = fleet.coordinator.postmaster() ?? 0;
    const frozen = [postmaster, ...childrenOf(postmaster)];
    for (const pid of frozen) sendSignal(pid, 'SIGSTOP');
    await elapse(OUTAGE_MS);
    for (const pid of frozen) sendSignal(pid, 'SIGCONT');
    const acknowledged = probe.created.length;
    await until('creations to be acknowledged again', () => probe.created.length > acknowledged + 2);
    await probe.stop();
    await expectUnharmed(fleet, work, probe);
  });

  it('restarted by an administrator, six times: no task notices, nothing acknowledged is lost', async (test) => {
    const fleet = await openFleet(test);
    const work = await startTen(fleet);
    const probe = startProbe(test, fleet);
    for (let times = 0; times < 6; times++) {
      const acknowledged = probe.created.length;
      // Well below the 20 s after which a transaction that the driver lost counts as failed: none may be lost.
      await until('creations', () => probe.created.length > acknowledged + 5, 12_000);
      const before = await until('a postmaster', () => fleet.coordinator.postmaster());
      sendSignal(before, 'SIGINT'); // the fast shutdown of pg_ctl; whoever keeps the server up starts it again
      await until('a new postmaster', () => ![null, before].includes(fleet.coordinator.postmaster()));
      expect(fleet.coordinator.running()).toBe(true);
    }
    const acknowledged = probe.created.length;
    await until('creations to be acknowledged again', () => probe.created.length > acknowledged + 5);
    await probe.stop();
    await expectUnharmed(fleet, work, probe);
  });
});
