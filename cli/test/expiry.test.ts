import { expect, it } from 'vitest';

import { aStatus } from './lib/rows.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();
const silence = {
  suspended: { reason: 'mass silence', since: '2030-01-01T00:00:00.000Z', until: '2030-01-01T00:15:00.000Z' },
  silent: 5,
  counted: 8,
};
const TEXT = 'suspended until 2030-01-01T00:15:00.000Z: mass silence, 5 of 8 hosts are silent';

it('shows a mass silence, also in the status, and releases it', async () => {
  api.on('expiry.get', () => silence);
  api.on('workspaces.status', () => ({ ...aStatus(), expiry: silence }));
  api.on('expiry.release', () => ({ ...silence, suspended: null }));
  expect((await home.run(['expiry', 'show'])).stdout).toContain(`Requeueing is ${TEXT}`);
  expect((await home.run(['status'])).stdout).toContain(`Requeueing:  ${TEXT}`);
  expect((await home.run(['expiry', 'release'])).code).toBe(2);
  const { code, stdout } = await home.run(['expiry', 'release', '--reason', 'rack 4 burned']);
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'Requeueing is on; 5 of 8 hosts fell silent lately\n' });
  expect(api.calls('expiry.release')[0]?.body).toEqual({ reason: 'rack 4 burned' });
});
