import { ApiError } from '@flotilla/shared';
import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';

const app = await testApp();
const MEGABYTE = 1_048_576;

/** R26: not text, terminal codes, half a surrogate pair as broken UTF-8, and one line of 10 MB. */
const hostile = (): Uint8Array => {
  const pieces = [
    Buffer.from([0xff, 0x00, 0x0a]),
    Buffer.from('\u001b[2J\u001b[31mred\u001b[0m\r\n'),
    Buffer.from([0xed, 0xa0, 0x80, 0x0a]),
    Buffer.alloc(10 * MEGABYTE, 'x'),
    Buffer.from('\nthe end'),
  ];
  return Buffer.concat(pieces);
};

test('R26: hostile bytes through 30 % lost uploads and answers are stored whole and in order', async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  const task = await workspace.task();
  const held = await agent.claimOne();
  const log = hostile();
  let state = 26;
  const chance = () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
  let known = 0;
  let sent = 0;
  while (known < log.length) {
    const size = Math.ceil(chance() * MEGABYTE);
    const luck = chance();
    // Some send from too far ahead, as if what comes before had arrived; they are told where to go on.
    const from = luck > 0.95 ? Math.min(log.length, known + 10) : known;
    sent += 1;
    if (luck < 0.15) continue;
    try {
      const { next_offset } = await agent.log(held, from, log.subarray(from, from + size));
      if (luck >= 0.3) known = next_offset;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      expect(error).toMatchObject({ status: 409, code: 'log_gap' });
      known = Number(error.details?.['wanted_offset']);
    }
  }
  expect(sent).toBeGreaterThan(15);
  const path = `/api/v1/tasks/${task.id}/log?stream=stdout`;
  const stored = new Uint8Array(await (await app.open(path, { token: workspace.token })).arrayBuffer());
  expect(Buffer.compare(stored, log)).toBe(0);
  expect((await workspace.attempts(task))[0]?.log).toEqual({
    stdout: { size: log.length, final_size: null, truncated: false },
  });
});
