import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Task } from '@flotilla/shared';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { Agentd } from '../lib/agentd.ts';
import { createFleet, type Fleet } from '../lib/fleet.ts';
import { processesOf, titleOf } from '../lib/processes.ts';
import { isLong } from '../lib/random.ts';
import { until } from '../lib/until.ts';
import { type FakeModel, startFakeModel } from './fake-model.ts';

const KEY = 'sk-canary-of-the-tests';
/** A turn when the machine is busy; alone it takes ten seconds. */
const TURN_MS = 240_000;

const installed = (): string => {
  const dir = process.env.FLOTILLA_TEST_OPENCLAW;
  if (dir === undefined || !existsSync(dir)) throw new Error('OpenClaw is not installed: run `make test-openclaw`');
  return join(dir, 'node_modules/.bin/openclaw');
};

/** The host's configuration, with things in it that a turn must not get: a gateway and two agents. */
const baseConfig = (base_url: string) => ({
  gateway: { mode: 'local', auth: { mode: 'token', token: '${NOT_FOR_TASKS}' } },
  models: {
    mode: 'replace',
    providers: {
      fake: {
        baseUrl: base_url,
        apiKey: '${FAKE_MODEL_KEY}',
        api: 'openai-completions',
        models: ['fake-1', 'fake-2'].map((id) => ({
          id,
          name: id,
          reasoning: false,
          input: ['text'],
          cost: { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 },
          contextWindow: 200_000,
          maxTokens: 8192,
        })),
      },
    },
  },
  agents: { ownership: 'explicit', entries: { one: {}, two: {} } },
});

describe('a turn of the real OpenClaw', () => {
  let fleet: Fleet;
  let model: FakeModel;
  let one: Agentd;
  let victim: Agentd;

  beforeAll(async () => {
    model = await startFakeModel({ write: 'echo from-the-tool >made.txt; cat made.txt', sleep: 'sleep 400' });
    fleet = await createFleet();
    const config = join(fleet.dir, 'openclaw.json');
    const keys = join(fleet.dir, 'keys.env');
    writeFileSync(config, JSON.stringify(baseConfig(model.base_url)));
    writeFileSync(keys, `FAKE_MODEL_KEY=${KEY}\n`, { mode: 0o600 });
    const env = {
      FLOTILLA_EXECUTOR: 'openclaw',
      FLOTILLA_OPENCLAW_BIN: installed(),
      FLOTILLA_OPENCLAW_CONFIG: config,
      FLOTILLA_OPENCLAW_ENV_FILE: keys,
      FLOTILLA_OPENCLAW_MODEL: 'fake/fake-1',
    };
    one = await fleet.add({ name: 'one', slots: 3, command: ['false'], env });
    victim = await fleet.add({ name: 'victim', command: ['false'], env });
  });

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(fleet.logs());
  });

  afterAll(async () => {
    await fleet?.close();
    await model?.close();
  }, 60_000);

  type Extra = Omit<Parameters<Fleet['createTask']>[0], 'title'>;
  const add = (title: string, extra: Extra = {}): Promise<Task> =>
    fleet.createTask({ title, assigned_to: 'one', executor: 'openclaw', ...extra });

  const finish = async (task: Task): Promise<Task> => {
    const [ended] = await fleet.ended([task.id], TURN_MS);
    if (ended === undefined) throw new Error('it did not end');
    return ended;
  };

  const lastAttempt = async ({ id }: Task) => {
    const { attempts } = await fleet.client.tasks.attempts({ params: { id } });
    return attempts.at(-1);
  };

  /** Waits for the first attempt to fail, and takes the task back: it would be tried again. */
  const firstFailure = async (task: Task) => {
    const attempt = await until(
      `the first attempt of ${task.title} to fail`,
      async () => {
        const { attempts } = await fleet.client.tasks.attempts({ params: { id: task.id } });
        return attempts.find(({ number, failure }) => number === 1 && failure !== null);
      },
      isLong ? 600_000 : TURN_MS,
    );
    await fleet.client.tasks.cancel({ params: { id: task.id }, body: {} });
    expect(await finish(task)).toMatchObject({ status: 'cancelled' });
    return attempt;
  };

  // First: its grace is for a program that starts in time, and the later ones share two processors.
  it.concurrent('a model that hangs ends by the deadline of the turn', async () => {
    const attempt = await firstFailure(await add('CASE=late HANG', { timeout_s: 5 }));
    expect(attempt.failure).toMatchObject({ kind: 'timeout' });
    // On a machine so busy that OpenClaw does not even start within the grace, it is agentd that ends it.
    if (attempt.exit_code === 2) expect(attempt.session_id).toMatch(/^[0-9a-f-]{36}$/);
    else expect(attempt.failure?.message).toContain('Stopped at its time limit.');
  });

  it.concurrent('with a tool: result, files, usage, price and session come back', async () => {
    const task = await add('CASE=tool TOOL=write', {
      model: 'fake/fake-2',
      metadata: { soul: 'You are a brave soul.' },
    });
    const done = await finish(task);
    expect(done).toMatchObject({
      status: 'done',
      resolution: 'Done with tool. Bye.',
      result: { model: 'fake/fake-2', assistant_turns: 2, tools: { calls: 1, failures: 0, names: ['exec'] } },
      attempts: 1,
      output_tokens: 20,
    });
    expect(done.cost_usd_micros).toBe(done.input_tokens + 2 * done.output_tokens);
    expect(done.input_tokens).toBeGreaterThan(2000);
    const attempt = await lastAttempt(task);
    expect(attempt).toMatchObject({ state: 'completed', executor: 'openclaw', exit_code: 0 });
    expect(attempt?.session_id).toMatch(/^[0-9a-f-]{36}$/);
    const turns = model.turns('tool');
    expect(turns.map((turn) => turn.tool_results.length)).toEqual([0, 1]);
    expect(turns[0]).toMatchObject({ model: 'fake-2', authorization: `Bearer ${KEY}` });
    expect(turns[0]?.system).toContain('You are a brave soul.');
    expect(turns[1]?.tool_results[0]).toContain('from-the-tool');
    const workdir = join(one.state_dir, 'work', `${task.id}-${done.epoch}`);
    expect(readFileSync(join(workdir, 'made.txt'), 'utf8')).toBe('from-the-tool\n');
    const { agents } = await fleet.client.agents.list();
    expect(agents.find(({ name }) => name === 'one')).toMatchObject({
      executors: ['openclaw'],
      metadata: { openclaw: '2026.9.6' },
    });
  });

  it.concurrent('400 is final', async () => {
    const done = await finish(await add('CASE=bad FAIL=400'));
    expect(done).toMatchObject({ status: 'failed', attempts: 1, failure: { kind: 'bad_request' } });
    expect(model.turns('bad')).toHaveLength(1);
  });

  it.concurrent('401 is final, and the next turn with the same provider is not refused for it', async () => {
    const done = await finish(await add('CASE=denied FAIL=401'));
    expect(done).toMatchObject({ status: 'failed', attempts: 1, failure: { kind: 'auth' } });
    expect(await finish(await add('CASE=after'))).toMatchObject({
      status: 'done',
      resolution: 'Done with after. Bye.',
    });
  });

  it.concurrent('an unknown model is final', async () => {
    const done = await finish(await add('CASE=nobody', { model: 'nope/none' }));
    expect(done).toMatchObject({ status: 'failed', attempts: 1, failure: { kind: 'unknown_model' } });
    expect(model.turns('nobody')).toHaveLength(0);
  });

  it.concurrent('cancel ends OpenClaw and what its tool started', async () => {
    const task = await add('CASE=cancelled TOOL=sleep');
    const mine = () => processesOf(join(one.state_dir, 'attempts', `${task.id}-`)).map(titleOf);
    const workdirs = () => readdirSync(join(one.state_dir, 'work')).filter((name) => name.startsWith(`${task.id}-`));
    await until('the turn', () => model.turns('cancelled').length === 1, TURN_MS);
    const asleep = () =>
      processesOf(join(one.state_dir, 'work', workdirs()[0] ?? 'none')).some((pid) => titleOf(pid) === 'sleep 400');
    await until('the tool to run', asleep, TURN_MS);
    await fleet.client.tasks.cancel({ params: { id: task.id }, body: {} });
    expect(await finish(task)).toMatchObject({ status: 'cancelled' });
    expect(asleep()).toBe(false);
    expect(mine()).toEqual([]);
    expect(model.turns('cancelled')).toHaveLength(1);
  });

  it.concurrent('agentd killed in the middle: the turn is adopted, and there was only one', async () => {
    const task = await add('CASE=adopted SLOW=6', { assigned_to: 'victim' });
    await until('the turn', () => model.turns('adopted').length === 1, TURN_MS);
    await victim.kill();
    await victim.start();
    expect(await finish(task)).toMatchObject({
      status: 'done',
      resolution: 'Done with adopted. Bye.',
      attempts: 1,
      stale_requeues: 0,
    });
    expect(model.turns('adopted')).toMatchObject([{ abandoned: false }]);
  });

  it.concurrent('two at once do not meet but at the model', async () => {
    const tasks = await Promise.all([add('CASE=left MEET'), add('CASE=right MEET')]);
    const ended = await fleet.ended(
      tasks.map(({ id }) => id),
      TURN_MS,
    );
    expect(ended.map(({ resolution }) => resolution)).toEqual(['Done with left. Bye.', 'Done with right. Bye.']);
    const sessions = await Promise.all(tasks.map(async (task) => (await lastAttempt(task))?.session_id));
    expect(new Set(sessions).size).toBe(2);
  });

  describe.runIf(isLong)('which OpenClaw itself tries again for minutes', () => {
    for (const [status, kind] of [
      [429, 'rate_limit'],
      [500, 'provider_error'],
    ] as const) {
      it.concurrent(`${status} is for later`, async () => {
        const attempt = await firstFailure(await add(`CASE=f${status} FAIL=${status}`, { timeout_s: 500 }));
        expect(attempt.failure).toMatchObject({ kind });
        expect(model.turns(`f${status}`).length).toBeGreaterThan(3);
      }, 700_000);
    }
  });
});
