import { expect, it } from 'vitest';

import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();

it('queue poll prints the task or the reason, and what is held', async () => {
  const holding = [{ id: 12, epoch: 7, lease_expires_at: '2030-01-01T00:00:00.000Z' }];
  api.on('tasks.queue', () => ({ task: null, reason: 'at_capacity', holding }));
  const { code, stdout } = await home.run(['queue', 'poll', 'scout', '--max-capacity', '3']);
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: 'Nothing: at_capacity\nHolding: TASK-12 (epoch 7, lease to 2030-01-01T00:00:00.000Z)\n',
  });
  expect(api.calls('tasks.queue')[0]?.query).toEqual({ agent: 'scout', max_capacity: '3' });
});
