import { FailTask } from '@flotilla/shared';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { createCommandExecutor, interpretCommand } from '../src/executors/command.ts';
import type { AttemptTask, Ended } from '../src/executors/executor.ts';

const task: AttemptTask = {
  id: 3,
  ref: 'TASK-3',
  kind: 'task',
  title: 'a "quoted" $(title) {ref}',
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
const ended = (stdout: string, given: Partial<Ended> & { code?: number } = {}): Ended => ({
  exit: { code: given.code ?? 0, signal: null },
  stdout: { text: stdout, cut: false },
  stderr: { text: '', cut: false },
  task,
  ...given,
});

describe('a command', () => {
  test('gets its placeholders filled once, element by element, without a shell', () => {
    const executor = createCommandExecutor([
      'run',
      '--title={title}',
      '{task_id}-{epoch}',
      '{model}',
      '{unknown}',
      '{workdir}/{prompt_file}',
    ]);
    const plan = executor.prepare(
      { ...task, prompt: '', attempt_token: '' },
      { workdir: '/w', prompt_file: 'p', private_dir: '/p' },
    );
    expect(plan).toEqual({
      argv: ['run', '--title=a "quoted" $(title) {ref}', '3-9', '', '{unknown}', '/w/p'],
      stdin: 'prompt',
      env: {},
    });
  });
});

describe('what a command printed', () => {
  test.for([
    ['plain text', ' words \n', { resolution: 'words' }],
    ['nothing', '', { resolution: '' }],
    ['an object without our fields', '{"answer":42}', { resolution: '{"answer":42}', result: { answer: 42 } }],
    ['a result that is words', '{"result":"words"}', { resolution: 'words', result: undefined }],
    ['a result that is data', '{"result":[1],"resolution":"r"}', { resolution: 'r', result: [1] }],
    ['an array', '[1,2]', { resolution: '[1,2]' }],
    ['an object over several lines', '{\n"resolution":"r"\n}', { resolution: 'r' }],
    ['an object in the last line', 'noise {\n{"resolution":"r"}\n\n', { resolution: 'r' }],
    ['half an object', '{"resolution":', { resolution: '{"resolution":' }],
    [
      'fields of wrong types',
      '{"resolution":7,"usage":"x","session_id":{}}',
      { resolution: '{"resolution":7,"usage":"x","session_id":{}}', usage: undefined },
    ],
    ['characters that cannot be stored', 'a\0b\ud800c', { resolution: 'ab\ufffdc' }],
    [
      'the same inside of JSON',
      '{"resolution":"a\\u0000b\\ud800","result":{"k\\u0000":"\\u0000"}}',
      { resolution: 'ab\ufffd', result: { k: '' } },
    ],
  ] as const)('%s', ([, stdout, expected]) => {
    expect(interpretCommand(ended(stdout))).toMatchObject({ outcome: 'completed', ...expected });
  });

  test('is cut to its end with a mark', () => {
    const said = interpretCommand(ended(`${'x'.repeat(100_000)}end`));
    expect(said.outcome === 'completed' && said.resolution).toMatch(/^\[flotilla: .*\]\nx+end$/s);
    expect(said.outcome === 'completed' && said.resolution.length).toBe(64 * 1024);
  });

  test('may name an error and its usage', () => {
    const printed = {
      ok: false,
      error: { kind: 'rate_limit', message: 'slow down', retryable: true, retry_after_s: 1.2 },
      usage: { input_tokens: 3, cost_usd: 0.000001 },
    };
    expect(interpretCommand(ended(JSON.stringify(printed)))).toMatchObject({
      outcome: 'failed',
      kind: 'rate_limit',
      message: 'slow down',
      retryable: true,
      retry_after_s: 2,
      usage: { seq: 1, mode: 'cumulative', input_tokens: 3, output_tokens: 0, cost_usd_micros: 1 },
    });
    expect(interpretCommand(ended('{"ok":false}'))).toMatchObject({
      outcome: 'failed',
      kind: 'executor_error',
      retryable: false,
    });
    expect(interpretCommand(ended('{"error":"no"}', { code: 2 }))).toMatchObject({
      outcome: 'failed',
      kind: 'executor_error',
      message: 'no',
    });
  });

  test.for([
    [75, null, { kind: 'exit_code', retryable: true }],
    [1, null, { kind: 'exit_code', retryable: false }],
    [null, 9, { kind: 'killed', retryable: true }],
  ] as const)('exit %s, signal %s', ([code, signal, expected]) => {
    expect(interpretCommand(ended('out', { exit: { code, signal } }))).toMatchObject({
      outcome: 'failed',
      output: 'out',
      ...expected,
    });
  });

  test('whatever it is, can be reported', () => {
    const anything = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc
        .record({ error: fc.json(), ok: fc.boolean(), usage: fc.object() }, { requiredKeys: [] })
        .map((v) => JSON.stringify(v)),
    );
    fc.assert(
      fc.property(anything, anything, fc.integer({ min: 1, max: 255 }), (stdout, stderr, code) => {
        const said = interpretCommand(ended(stdout, { code, stderr: { text: stderr, cut: false } }));
        expect(FailTask.safeParse({ epoch: 1, ...said }).error).toBeUndefined();
      }),
    );
  });
});
