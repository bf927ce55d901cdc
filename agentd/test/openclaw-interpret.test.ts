import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { CompleteTask, FailTask } from '@flotilla/shared';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Ended, Exit } from '../src/executors/executor.ts';
import { interpretOpenClaw } from '../src/executors/openclaw/interpret.ts';

/** What real runs of OpenClaw 2026.9.6 printed, byte for byte. */
const SAMPLES = join(import.meta.dirname, 'fixtures/openclaw');

const task: Ended['task'] = {
  id: 3,
  ref: 'TASK-3',
  kind: 'task',
  title: 'a title',
  epoch: 9,
  attempt_id: 1,
  attempt: 1,
  lease_ms: 90_000,
  timeout_s: 60,
  executor: null,
  model: null,
  on_host_loss: 'requeue',
  metadata: {},
};
const code = (value: number): Exit => ({ code: value, signal: null });
const signal = (value: number): Exit => ({ code: null, signal: value });
const ended = (stdout: string, stderr: string, exit: Exit): Ended => ({
  exit,
  stdout: { text: stdout, cut: false },
  stderr: { text: stderr, cut: false },
  task,
});
const read = (name: string, stream: string): string => {
  const path = join(SAMPLES, `${name}.${stream}.txt`);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
};

const usage = {
  seq: 1,
  mode: 'cumulative',
  cache_read_tokens: 0,
  cache_write_tokens: 0,
};
const failed = (kind: string, retryable: boolean, rest: object = {}) => ({
  outcome: 'failed',
  kind,
  retryable,
  retry_after_s: undefined,
  usage: undefined,
  ...rest,
});

/** Every sample: how the process ended, and what it means. */
const samples: Record<string, { exit: Exit; means: object }> = {
  'exec-success': {
    exit: code(0),
    means: {
      outcome: 'completed',
      resolution: 'PONG from fake model. You said: [Fri 2026-11-20 15:50 UTC] hello exec',
      result: { model: 'fake/fake-1', assistant_turns: 1 },
      session_id: '386ee4c8-af16-4ce0-985b-3312df5aeda7',
      usage: { ...usage, model: 'fake/fake-1', input_tokens: 9063, output_tokens: 18, cost_usd_micros: 9099 },
    },
  },
  'exec-tool': {
    exit: code(0),
    means: {
      outcome: 'completed',
      resolution: 'PONG from fake model. You said: [Fri 2026-11-20 15:50 UTC] please TOOL',
      result: { model: 'fake/fake-2', assistant_turns: 2, tools: { calls: 1, failures: 0, names: ['exec'] } },
      session_id: 'c01d4a68-08cb-477d-b709-7fd1f8045544',
      usage: { ...usage, model: 'fake/fake-2', input_tokens: 18195, output_tokens: 36, cost_usd_micros: 55125 },
    },
  },
  'exec-bad-model': {
    exit: code(1),
    means: failed('unknown_model', false, { session_id: '55f918c4-25aa-4297-a64f-1a9804ecc361', output: undefined }),
  },
  'exec-cooldown-after-401': { exit: code(1), means: failed('provider_cooldown', true, { retry_after_s: 60 }) },
  'exec-err400': { exit: code(1), means: failed('bad_request', false) },
  'exec-err401': {
    exit: code(1),
    means: failed('auth', false, {
      message:
        '⚠️ fake/fake-1 request failed (authentication failed, HTTP 401). Re-authenticate the provider and try again.',
    }),
  },
  // Still retrying when it was stopped: nothing on stdout, and the last words on stderr go into the message.
  'exec-err429': {
    exit: signal(15),
    means: failed('killed', true, { message: expect.stringContaining('rate_limit') }),
  },
  'exec-err500': { exit: code(1), means: failed('provider_error', true, { retry_after_s: 30 }) },
  'exec-sigint': {
    exit: code(130),
    means: failed('bad_result', false, { message: expect.stringContaining('exit code 130') }),
  },
  'exec-sigterm': { exit: signal(15), means: failed('killed', true, { message: expect.stringContaining('SIGTERM') }) },
  'exec-timeout': {
    exit: code(2),
    means: failed('timeout', true, { session_id: 'c8a82eb7-3300-46a0-ae6b-d6517c64029a', output: undefined }),
  },
  'local-success': {
    exit: code(0),
    means: {
      outcome: 'completed',
      resolution: 'PONG from fake model. You said: [Fri 2026-11-20 15:48 UTC] hello PING',
      result: { model: 'fake/fake-1', assistant_turns: 1 },
      session_id: 'lab-s1',
      usage: { ...usage, model: 'fake/fake-1', input_tokens: 14506, output_tokens: 18, cost_usd_micros: 14542 },
    },
  },
  'local-timeout': { exit: code(1), means: failed('timeout', true, { session_id: 'lab-to' }) },
  'local-err401': { exit: code(1), means: failed('auth', false) },
  'local-lock-conflict': { exit: code(1), means: failed('lock', true, { retry_after_s: 15 }) },
};

/** Fields that an expectation may ask to be absent. */
const unsaid = { retry_after_s: undefined, usage: undefined, output: undefined };

const accepted = (said: ReturnType<typeof interpretOpenClaw>): boolean => {
  const { outcome, ...body } = said;
  const schema = outcome === 'completed' ? CompleteTask : FailTask;
  return schema.safeParse({ epoch: 9, log_sizes: {}, ...body }).success;
};

describe('what OpenClaw printed', () => {
  test('every sample has an expectation', () => {
    const names = readdirSync(SAMPLES).map((file) => file.replace(/\.(stdout|stderr)\.txt$/, ''));
    expect([...new Set(names)].toSorted()).toEqual(Object.keys(samples).toSorted());
  });

  test.each(Object.entries(samples))('%s', (name, { exit, means }) => {
    const said = interpretOpenClaw(ended(read(name, 'stdout'), read(name, 'stderr'), exit));
    expect({ ...unsaid, ...said }).toMatchObject(means);
    expect(accepted(said)).toBe(true);
  });

  test.each([
    ['logs of a plugin before it', (text: string) => [`[plugins] loaded {"a":1} {\n${text}`, '']],
    ['a log line after it', (text: string) => [`${text}\n[state/db] closed {"ok":true}`, '']],
    ['stderr instead of stdout, as old versions do', (text: string) => ['[agent] start\n', `warn { not json\n${text}`]],
    ['no line breaks', (text: string) => [JSON.stringify(JSON.parse(text)), '']],
  ])('%s changes nothing', (_what, place) => {
    const [stdout = '', stderr = ''] = place(read('exec-tool', 'stdout'));
    expect(interpretOpenClaw(ended(stdout, stderr, code(0)))).toMatchObject(samples['exec-tool']?.means ?? {});
  });

  test('a result counts even when cleaning up after it failed', () => {
    const stdout = read('exec-success', 'stdout');
    expect(interpretOpenClaw(ended(stdout, 'cleanup failed', code(1)))).toMatchObject({ outcome: 'completed' });
  });

  test('a model without a price is unpriced, not free', () => {
    const text = JSON.stringify({ ok: true, status: 'ok', final: 'x', usage: { input: 5, output: 1 }, model: 'm' });
    expect(interpretOpenClaw(ended(text, '', code(0)))).toMatchObject({
      usage: { input_tokens: 5, output_tokens: 1, cost_usd_micros: null, model: 'm' },
    });
  });

  test.each([
    ['{"status":"ok","answer":42}', code(0)],
    ['{"ok":true}', code(0)],
    ['[1,2', code(0)],
    ['', code(0)],
    ['{"a":'.repeat(5000), code(1)],
  ])('an unknown shape (%.20s) is a clear final error with the output kept', (stdout, exit) => {
    const said = interpretOpenClaw(ended(stdout, 'last words', exit));
    expect(said).toMatchObject({ outcome: 'failed', kind: 'bad_result', retryable: false });
    expect({ ...unsaid, ...said }).toMatchObject({ output: stdout === '' ? undefined : stdout });
    expect(said.outcome === 'failed' && said.message).toContain('last words');
  });

  test.each([
    [signal(6), ''],
    [signal(6), 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory'],
    [code(134), 'FATAL ERROR: Ineffective mark-compacts near heap limit JavaScript heap out of memory'],
  ])('out of memory: %o %.12s', (exit, stderr) => {
    expect(interpretOpenClaw(ended('', stderr, exit))).toMatchObject({ kind: 'out_of_memory', retryable: true });
  });

  test.each([
    ['⚠️ API rate limit reached. Please try again later.', 'rate_limit', true],
    [
      '⚠️ a/b request failed (rate limited, HTTP 429). This is usually temporary — try again shortly.',
      'rate_limit',
      true,
    ],
    ['The AI service is temporarily overloaded. Please try again in a moment.', 'overloaded', true],
    ['⚠️ a/b request failed (provider billing issue, HTTP 402). Check a billing and try again.', 'billing', false],
    ['⚠️ a/b request failed (request timed out, HTTP 408). This is usually temporary.', 'timeout', true],
    ['⚠️ a/b request failed (context limit exceeded, HTTP 400).', 'context_overflow', false],
    ['LLM request failed: network connection error.', 'provider_unreachable', true],
    ['A Gateway is running for this state directory', 'lock', true],
    ['Multiple agents are configured, but agent exec has no explicit owner', 'config', false],
    ['something new', 'executor_error', false],
  ])('%s', (message, kind, retryable) => {
    const text = JSON.stringify({ ok: false, status: 'error', error: { message, kind: 'exception' } });
    expect(interpretOpenClaw(ended(text, '', code(1)))).toMatchObject({ outcome: 'failed', kind, retryable, message });
  });

  test('whatever it prints, the coordinator can take what is made of it', () => {
    const value = fc.jsonValue();
    const envelope = fc.record(
      {
        ok: fc.boolean(),
        status: fc.oneof(fc.constantFrom('ok', 'error', 'timeout'), value),
        final: value,
        payloads: value,
        usage: fc.oneof(value, fc.record({ input: fc.double(), output: value, cost: value }, { requiredKeys: [] })),
        costUsd: fc.oneof(fc.double(), value),
        model: value,
        provider: value,
        sessionId: fc.oneof(fc.string({ unit: 'binary' }), value),
        error: fc.oneof(value, fc.record({ message: fc.string({ unit: 'binary' }) })),
      },
      { requiredKeys: ['ok'] },
    );
    const text = fc.oneof(
      envelope.map((object) => JSON.stringify(object)),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(text, fc.string(), fc.constantFrom(code(0), code(1), signal(9)), (stdout, stderr, exit) =>
        accepted(interpretOpenClaw(ended(stdout, stderr, exit))),
      ),
      { numRuns: 300 },
    );
  });
});
