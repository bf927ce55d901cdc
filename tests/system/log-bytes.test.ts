import { createHash } from 'node:crypto';

import { expect, it } from 'vitest';

import { ADMIN_TOKEN } from '../lib/coordinator.ts';
import { openFleet } from '../lib/fleet.ts';
import { startProxy } from '../lib/proxy.ts';
import { createRandom, pickSeed } from '../lib/random.ts';
import { elapse } from '../lib/until.ts';

const LINE_BYTES = 10 * 1024 * 1024;

/** Not text, terminal codes, half a surrogate pair as broken UTF-8, one line of 10 MB, no newline at the end. */
const hostile = Buffer.concat([
  Buffer.from([0xff, 0x00, 0x0a]),
  Buffer.from('\u001b[2J\u001b[31mred\u001b[0m\r\n'),
  Buffer.from([0xed, 0xa0, 0x80, 0x0a]),
  Buffer.alloc(LINE_BYTES, 'x'),
  Buffer.from('\nthe end'),
]);

/** A program that writes just that. */
const SCRIPT = `
  const pieces = [Buffer.from([0xff, 0, 10]), Buffer.from('\\u001b[2J\\u001b[31mred\\u001b[0m\\r\\n'), Buffer.from([0xed, 0xa0, 0x80, 10]),
    Buffer.alloc(${LINE_BYTES}, 'x'), Buffer.from('\\nthe end')];
  process.stderr.write(Buffer.concat(pieces), () => process.stdout.write('said it'));`;

it('R26: hostile bytes of a task reach the coordinator whole, although uploads and their answers are lost again and again', async (test) => {
  const random = createRandom(pickSeed('R26'));
  const fleet = await openFleet(test);
  const proxy = await startProxy(fleet.coordinator.url);
  test.onTestFinished(() => proxy.close());
  await fleet.add({ name: 'loud', url: proxy.url, command: [process.execPath, '-e', SCRIPT] });
  const task = await fleet.createTask({ title: 'be loud' });

  const over = new AbortController();
  const breaking = (async () => {
    while (!over.signal.aborted) {
      const kind = random.pick(['drop_before', 'drop_after'] as const);
      proxy.set([{ match: /\/log\?/, times: 1, fault: { kind } }]);
      // Several uploads go through in this time, and one does not.
      await elapse(150);
    }
    proxy.heal();
  })();
  const [ended] = await fleet.ended([task.id]);
  const url = `${fleet.coordinator.url}/api/v1/tasks/${task.id}/log?stream=stderr`;
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  const whole = async () => Buffer.from(await (await fetch(url, { headers })).arrayBuffer());
  let stored = await whole();
  // The result does not wait for the log, which still comes in.
  for (let look = 0; look < 300 && stored.length < hostile.length; look++) {
    await elapse(100);
    stored = await whole();
  }
  over.abort();
  await breaking;

  expect(ended).toMatchObject({ status: 'done', resolution: 'said it' });
  const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  expect({ size: stored.length, digest: digest(stored) }).toEqual({ size: hostile.length, digest: digest(hostile) });
  const uploads = proxy.exchanges.filter(({ request }) => request.includes('/log?'));
  expect(uploads.filter(({ fault }) => fault !== null).length).toBeGreaterThan(1);
  await fleet.audit();
});
