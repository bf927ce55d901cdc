import type { Workspace } from '@flotilla/shared';
import { expect, it } from 'vitest';

import { aStatus } from './lib/rows.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();

const AT = '2030-01-01T00:00:00.000Z';
const active: Workspace = { id: 4, slug: 'main', name: 'Main', created_at: AT, pause: null };
const paused: Workspace = { ...active, pause: { since: AT, by: 'token:ci', reason: 'outage' } };

const coordinator = () => {
  const principal = { kind: 'api_token', id: 1, name: 'ci', role: 'operator' } as const;
  api.on('workspaces.me', () => ({ principal, workspace: active }));
  api.on('workspaces.status', () => ({ ...aStatus(), pause: paused.pause }));
  api.on('workspaces.pause', () => ({ workspace: paused, cancelling: 3 }));
  api.on('workspaces.resume', () => active);
};

it('pause and resume the workspace of the token', async () => {
  coordinator();
  expect((await home.run(['pause', '--reason', 'outage'])).stdout).toMatch(/main +paused .*token:ci +outage/);
  expect(api.calls('workspaces.pause')[0]).toMatchObject({ params: { id: '4' }, body: { reason: 'outage' } });
  expect((await home.run(['resume'])).stdout).toMatch(/main +active/);
  expect((await home.run(['status'])).stdout).toContain(`Paused:      since ${AT} by token:ci: outage`);
});

it('stop wants a reason and a yes, and says how many it cancels', async () => {
  coordinator();
  expect((await home.run(['stop'])).code).toBe(2);
  const unasked = await home.run(['stop', '--reason', 'leak']);
  expect(unasked).toMatchObject({ code: 2 });
  expect(unasked.stderr).toContain('This cancels 1 running tasks of workspace main');
  expect(api.calls('workspaces.pause')).toEqual([]);
  const { code, stderr } = await home.run(['stop', '--reason', 'leak', '--yes']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '3 running tasks were asked to stop.\n' });
  expect(api.calls('workspaces.pause')[0]?.body).toEqual({ kill: true, reason: 'leak' });
});
