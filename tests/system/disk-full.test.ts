import { spawnSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { appendFileSync, chmodSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createClient } from '@flotilla/shared';
import { inject, describe, expect, it, onTestFinished } from 'vitest';

import { ADMIN_TOKEN, type Coordinator, createCoordinator } from '../lib/coordinator.ts';
import { endProcessesOf } from '../lib/processes.ts';
import { type RawAnswer, sendRaw } from '../lib/raw.ts';
import { openDatabase } from '../lib/invariants.ts';
import { until } from '../lib/until.ts';

/** Room for a new cluster and a few segments of its log; the rest is what the test takes away. */
const SIZE = '220m';

const can_mount = (() => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const dir = mkdtempSync(join(tmpdir(), 'fl-'));
  const mounted = mount(dir, '1m');
  spawnSync('umount', [dir]);
  rmSync(dir, { recursive: true, force: true });
  return mounted;
})();

function mount(dir: string, size: string): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=711`, 'tmpfs', dir]).status === 0;
}

/** A disk of its own for a coordinator, and a file that takes all of its room. */
const smallDisk = () => {
  const dir = mkdtempSync(join(tmpdir(), 'fl-'));
  chmodSync(dir, 0o711);
  expect(mount(dir, SIZE)).toBe(true);
  onTestFinished(async () => {
    await endProcessesOf(dir);
    spawnSync('umount', ['-l', dir]);
    rmSync(dir, { recursive: true, force: true });
  });
  const ballast = join(dir, 'ballast');
  const fill = () => {
    for (const piece of [1 << 20, 1 << 12]) {
      try {
        for (;;) appendFileSync(ballast, Buffer.alloc(piece));
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
      }
    }
  };
  const take = (share: number) => {
    const { bavail, blocks, bsize } = statfsSync(dir);
    appendFileSync(ballast, Buffer.alloc(Math.max(0, bavail - Math.floor(blocks * (1 - share))) * bsize));
  };
  return { dir, fill, take, makeRoom: () => rmSync(ballast, { force: true }) };
};

type Asked = { answers: RawAnswer[]; acknowledged: Map<number, string> };

/** Creates one task whose text takes room; every answer is kept. */
const create = async (url: string, asked: Asked): Promise<number> => {
  const title = randomUUID();
  const body = JSON.stringify({ title, description: randomBytes(30_000).toString('base64'), status: 'backlog' });
  const answer = await sendRaw(url, { method: 'POST', path: '/tasks', token: ADMIN_TOKEN, body });
  asked.answers.push(answer);
  if (answer.status === 201) asked.acknowledged.set(Number(answer.json.id), title);
  return answer.status;
};

const ask = async (url: string, path: string): Promise<number> => (await fetch(`${url}${path}`)).status;

/** Postgres ends itself when it cannot make the next file of its log. */
const exhaustLog = async (coordinator: Coordinator): Promise<void> => {
  const sql = openDatabase(coordinator);
  const next = () => sql`select pg_logical_emit_message(true, 'test', 'test'), pg_switch_wal()`;
  await until('Postgres to end', () =>
    next().then(
      () => false,
      () => true,
    ),
  );
  await sql.end({ timeout: 1 });
};

const expectAll = async (coordinator: Coordinator, { acknowledged, answers }: Asked): Promise<void> => {
  const sql = openDatabase(coordinator);
  const rows = await sql<{ id: number; title: string }[]>`select id, title from tasks order by id`;
  await sql.end();
  const stored = new Map(rows.map(({ id, title }) => [id, title]));
  for (const [id, title] of acknowledged) expect(stored.get(id)).toBe(title);
  const strange = answers.filter(({ status }) => status !== 201 && status !== 503 && status !== 507);
  expect(strange.map(({ status, text }) => `${status} ${text}`)).toEqual([]);
};

describe('a full disk', () => {
  // An external Postgres has its disk elsewhere, and somebody else who sees to it.
  it.skipIf(!can_mount || inject('external') !== null)(
    'refuses and says so, outlives its Postgres, and works again once there is room (needs root, to mount a small one)',
    async (test) => {
      const disk = smallDisk();
      const coordinator = await createCoordinator(join(disk.dir, 'c'), {});
      onTestFinished(async () => {
        if (test.task.result?.state === 'fail') console.error(coordinator.logs().slice(-20_000));
        if (coordinator.running()) await coordinator.stop();
      });
      await coordinator.start();
      const { url } = coordinator;
      const asked: Asked = { answers: [], acknowledged: new Map() };
      for (let made = 0; made < 5; made++) expect(await create(url, asked)).toBe(201);
      expect(await ask(url, '/readyz')).toBe(200);

      disk.fill();
      await until('a creation to be refused', async () => (await create(url, asked)) === 507);
      expect([await ask(url, '/readyz'), await ask(url, '/healthz')]).toEqual([507, 200]);
      disk.makeRoom();
      expect(await create(url, asked)).toBe(201);
      expect(await ask(url, '/readyz')).toBe(200);

      disk.fill();
      await exhaustLog(coordinator);
      disk.fill();
      const again = () => coordinator.logs().split('the bundled Postgres does not start').length > 2;
      await until('two starts of Postgres in vain', async () => (await create(url, asked)) !== 201 && again(), 60_000);
      // A start in vain may make room for a moment: 503 then, because there is no Postgres.
      await until('a creation to be refused for want of room', async () => (await create(url, asked)) === 507);
      expect([await ask(url, '/readyz'), await ask(url, '/healthz')]).toEqual([503, 200]);

      disk.makeRoom();
      await until('a creation to be acknowledged again', async () => (await create(url, asked)) === 201, 60_000);
      expect(await ask(url, '/readyz')).toBe(200);
      expect(coordinator.running()).toBe(true);
      await expectAll(coordinator, asked);
    },
  );

  it.skipIf(!can_mount || inject('external') !== null)(
    'when nearly reached refuses new tasks, while results of what runs still land (needs root, to mount a small one)',
    async () => {
      const disk = smallDisk();
      const coordinator = await createCoordinator(join(disk.dir, 'c'), { FLOTILLA_MIN_FREE_PERCENT: '40' });
      onTestFinished(async () => void (await coordinator.stop()));
      await coordinator.start();
      const admin = createClient({ base_url: coordinator.url, token: ADMIN_TOKEN });
      const made = await admin.tasks.create({ body: { title: 'made in time' } });
      const { token: join_token = '' } = await admin.join_tokens.create({ body: {} });
      const { agent_token = '' } = await admin.agents.register({ body: { join_token, agent: { name: 'scout' } } });
      const agent = createClient({ base_url: coordinator.url, token: agent_token });
      const [task] = (await agent.tasks.claim({ body: { slots: 1 } })).tasks;
      expect(task?.id).toBe(made.id);

      disk.take(0.7);
      const refused = () =>
        admin.tasks.create({ body: { title: 'too late' } }).then(
          () => null,
          (error: unknown) => error,
        );
      await until('a creation to be refused', async () => (await refused()) !== null);
      expect(await refused()).toMatchObject({
        status: 507,
        code: 'disk_full',
        message: expect.stringContaining('40 %') as string,
      });
      await expect(admin.tasks.duplicate({ params: { id: made.id }, body: {} })).rejects.toMatchObject({ status: 507 });
      await agent.tasks.complete({
        params: { id: made.id },
        body: { epoch: task?.epoch ?? 0, resolution: 'landed', log_sizes: {} },
      });
      expect(await admin.tasks.get({ params: { id: made.id } })).toMatchObject({
        status: 'done',
        resolution: 'landed',
      });

      disk.makeRoom();
      expect(await refused()).toBe(null);
    },
  );
});
