// The whole story with real programs: a coordinator at work, its backup, the loss of its machine, and the way back.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type Client, type ClaimedTask, createClient, type Transport } from '@flotilla/shared';
import { afterAll, expect, test, vi } from 'vitest';

import { until } from './lib/until.ts';

vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 });

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const ADMIN = fileURLToPath(new URL('../dist/admin.js', import.meta.url));
for (const bundle of [MAIN, ADMIN])
  if (!existsSync(bundle)) throw new Error(`${bundle} is missing: run \`npm run build -w coordinator\` first`);
const ERA = 2 ** 32;
const admin_token = `flu_${randomBytes(32).toString('base64url')}`;
const agent_token = `fla_${randomBytes(32).toString('base64url')}`;

const dir = mkdtempSync(join(tmpdir(), 'flotilla-backup-'));
const file = join(dir, 'flotilla.backup');
const [first, second] = [join(dir, 'first'), join(dir, 'second')];
const children: ChildProcess[] = [];

const run = (program: string, args: string[], env: Record<string, string>) => {
  const { PATH = '', HOME = '' } = process.env;
  const environment = { PATH, HOME, TMPDIR: tmpdir(), FLOTILLA_PORT: '0', FLOTILLA_LOG_LEVEL: 'warn', ...env };
  const child = spawn(process.execPath, [program, ...args], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.once('exit', (code) => resolve({ code, ...said })),
  );
  return { child, said, ended };
};

const admin = (args: string[], data_dir: string) => run(ADMIN, args, { FLOTILLA_DATA_DIR: data_dir }).ended;

const startCoordinator = async (data_dir: string, env: Record<string, string> = {}) => {
  const { child, said, ended } = run(MAIN, [], { FLOTILLA_DATA_DIR: data_dir, ...env });
  const url = await until(
    'the coordinator to listen',
    () => {
      if (child.exitCode !== null) throw new Error(said.stderr);
      return /"url":"([^"]+)"/.exec(said.stdout)?.[1] ?? '';
    },
    20_000,
  );
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await ended;
  };
  return { url, end };
};

/** Core http: fetch would hold its connections open beyond the coordinator. */
const transport: Transport = ({ method, url, headers, body }) =>
  new Promise((resolve, reject) => {
    const call = request(url, { method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        const answer = status === 204 ? null : Buffer.concat(chunks);
        resolve(new Response(answer, { status, headers: response.headers as Record<string, string> }));
      });
    });
    call.on('error', reject);
    call.end(body as string | Uint8Array); // no file is streamed here
  });

const clientOf = (url: string, token: string | null): Client => createClient({ base_url: url, token, transport });

const beat = (client: Client, id: number, seq: number, held: ClaimedTask[]) =>
  client.agents.heartbeat({
    params: { id },
    body: {
      instance_id: 'instance',
      seq,
      attempts: held.map((task) => ({ task_id: task.id, epoch: task.epoch, phase: 'running' })),
    },
  });

const claimOne = async (client: Client): Promise<ClaimedTask> => {
  const [task] = (await client.tasks.claim({ body: { slots: 1 } })).tasks;
  if (task === undefined) throw new Error('nothing to claim');
  return task;
};

afterAll(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  // A Postgres whose coordinator was killed stops by itself, and must have written its last byte.
  await until(
    'every Postgres to end',
    () => ![first, second].some((data) => existsSync(join(data, 'postgres-18/postmaster.pid'))),
  );
  rmSync(dir, { recursive: true, force: true });
});

test('what a backup of a busy coordinator knows goes on after its machine is lost', async () => {
  const lost = await startCoordinator(first, { FLOTILLA_ADMIN_TOKEN: admin_token });
  const before = clientOf(lost.url, admin_token);
  const { token: join_token = '' } = await before.join_tokens.create({ body: { slots: 8 } });
  const { agent } = await clientOf(lost.url, null).agents.register({
    body: {
      join_token,
      agent: { name: 'scout', slots: 8 },
      agent_token_sha256: createHash('sha256').update(agent_token).digest('hex'),
    },
  });
  const worker = clientOf(lost.url, agent_token);
  await before.tasks.create({ body: { title: 'known to the backup' } });
  const known = await claimOne(worker);
  await beat(worker, agent.id, 1, [known]);

  let created = 0;
  const done = new AbortController();
  const load = Array.from({ length: 4 }, async () => {
    while (!done.signal.aborted) {
      await before.tasks.create({ body: { title: `load ${++created}` } });
    }
  });
  const backup = await admin(['backup', file], first);
  done.abort();
  await Promise.all(load);
  expect(backup).toMatchObject({
    code: 0,
    stdout: '',
    stderr: expect.stringMatching(/^Backed up \d+ rows of \d+ tables/),
  });
  expect(created).toBeGreaterThan(5);
  const unknown = await claimOne(worker);

  const refused = await admin(['restore', '--force', file], first);
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/uses this data directory.*\nStop it first/),
  });
  expect(await before.tasks.get({ params: { id: known.id } })).toMatchObject({ status: 'in_progress' });
  await lost.end('SIGKILL');

  // A restore that is killed leaves nothing that a second one minds.
  const killed = run(ADMIN, ['restore', file], { FLOTILLA_DATA_DIR: second });
  await until('its Postgres to run', () => existsSync(join(second, 'postgres-18/postmaster.pid')));
  killed.child.kill('SIGKILL');
  await killed.ended;
  expect(await admin(['restore', file], second)).toMatchObject({ code: 0, stdout: '' });

  // Without FLOTILLA_ADMIN_TOKEN: every token comes from the backup.
  const back = await startCoordinator(second);
  const after = clientOf(back.url, admin_token);
  const returned = clientOf(back.url, agent_token);
  const { attempts } = await beat(returned, agent.id, 2, [known, unknown]);
  expect(attempts).toMatchObject([
    { task_id: known.id, verdict: 'renewed' },
    { task_id: unknown.id, verdict: 'lost' },
  ]);
  await returned.tasks.complete({ params: { id: known.id }, body: { epoch: known.epoch, resolution: 'done' } });
  expect(await after.tasks.get({ params: { id: known.id } })).toMatchObject({ status: 'done', resolution: 'done' });
  const next = await claimOne(returned);
  expect(next.epoch).toBeGreaterThanOrEqual(known.epoch + ERA);
  const { audit } = await after.audit.list({ query: {} });
  expect(audit.find(({ action }) => action === 'database.restore')).toMatchObject({ principal: 'system' });
  await back.end('SIGTERM');

  // Nobody runs now: the backup starts Postgres for itself, and stops it.
  expect(await admin(['backup', file], second)).toMatchObject({ code: 0 });
  expect(existsSync(join(second, 'postgres-18/postmaster.pid'))).toBe(false);
  expect(await admin(['check', file], second)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('is complete'),
  });
});

test('a wrong call ends with a sentence and changes nothing', async () => {
  const none = join(dir, 'none');
  const calls = await Promise.all([
    admin(['backup', join(dir, 'x')], none),
    admin(['backup'], none),
    admin(['restore', join(dir, 'nothing')], none),
    admin(['backup', '--force', 'x'], none),
    run(ADMIN, ['backup', join(dir, 'x')], { DATABASE_URL: 'mysql://x' }).ended,
    run(ADMIN, ['backup', join(dir, 'x')], { DATABASE_URL: 'postgres://127.0.0.1:1/x' }).ended,
  ]);
  expect(calls.map(({ code }) => code)).toEqual([1, 2, 1, 2, 2, 1]);
  for (const { stdout, stderr } of calls) {
    expect(stdout).toBe('');
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stderr).toMatch(/\S/);
  }
  expect([existsSync(none), existsSync(join(dir, 'x')), existsSync(join(dir, 'x.partial'))]).toEqual([
    false,
    false,
    false,
  ]);
});
