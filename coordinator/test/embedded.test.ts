// Longer than most: every case here shares the helpers that start, watch and kill real processes.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Client } from 'pg';
import postgres from 'postgres';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { findBinaries, linkLibraries } from '../src/db/embedded/binaries.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres, type StartOptions } from '../src/db/embedded/index.ts';

const ROOT = process.getuid?.() === 0;
const LINUX = process.platform === 'linux';
const NOBODY = 65534;
const COORDINATOR_DIR = dirname(dirname(fileURLToPath(import.meta.url)));

// Most take one second; on a busy machine initdb alone may take five.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A directory that every user may enter, unless a test wants it closed. */
function scratch(name = 'flotilla-pg-', mode = 0o755): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), name)));
  chmodSync(dir, mode);
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function start(
  data_dir: string,
  more: Partial<StartOptions> = {},
): Promise<EmbeddedPostgres & { lines: string[] }> {
  const lines: string[] = [];
  const running = await startEmbeddedPostgres({ data_dir, log: (line) => lines.push(line), ...more });
  cleanups.push(() => running.stop());
  return { ...running, lines };
}

async function query(running: EmbeddedPostgres, sql: string): Promise<unknown[]> {
  const client = new Client(running.connection('postgres'));
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function queryWithPostgresJs(running: EmbeddedPostgres, sql: string): Promise<unknown[]> {
  const client = postgres({ ...running.connection('postgres'), max: 1 });
  try {
    return [...(await client.unsafe(sql))];
  } finally {
    await client.end();
  }
}

/** An installation that every user may read, as the packaged one; a checkout may lie in a closed directory. */
const installation = realpathSync(mkdtempSync(join(tmpdir(), 'flotilla installed ')));
const OWNER = join(installation, 'owner.js');

beforeAll(async () => {
  chmodSync(installation, 0o755);
  writeFileSync(join(installation, 'package.json'), '{"type":"module"}');
  const { package_name, root } = findBinaries();
  const copy = join(installation, 'node_modules', package_name);
  cpSync(dirname(root), copy, { recursive: true, verbatimSymlinks: true });
  const contents = `export { startEmbeddedPostgres } from './src/db/embedded/index.ts'; export { default as postgres } from 'postgres';`;
  const stdin = { contents, resolveDir: COORDINATOR_DIR };
  await build({ stdin, bundle: true, platform: 'node', format: 'esm', target: 'node20', outfile: OWNER });
});
afterAll(() => rmSync(installation, { recursive: true, force: true }));

type OwnerOptions = { uid?: number; setup?: string };

/** A coordinator of its own process, to be killed. Prints `ready` or the error, and runs `setup` before it waits. */
function spawnOwner(
  data_dir: string,
  { uid, setup = '' }: OwnerOptions = {},
): { child: ChildProcess; output: () => string } {
  const script = `
    const { startEmbeddedPostgres, postgres } = await import(${JSON.stringify(OWNER)});
    setInterval(() => {}, 1000);
    try {
      const running = await startEmbeddedPostgres({ data_dir: ${JSON.stringify(data_dir)}, log: () => {} });
      const sql = postgres({ ...running.connection('postgres'), max: 1 });
      await sql.unsafe(${JSON.stringify(setup)});
      console.log('ready');
      process.on('SIGTERM', async () => { await sql.end(); await running.stop(); process.exit(0); });
    } catch (error) {
      console.log(error.name + ': ' + error.message + ' [' + error.hint + ']');
      process.exit(1);
    }`;
  const ids = uid === undefined ? {} : { uid, gid: uid };
  const argv = ['--input-type=module', '-e', script];
  const child = spawn(process.execPath, argv, { cwd: installation, ...ids });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  cleanups.push(() => child.kill('SIGKILL'));
  return { child, output: () => output };
}

async function until(condition: () => unknown, timeout = 15_000): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout, interval: 10 });
}

async function readyOwner(data_dir: string, options: OwnerOptions = {}): Promise<ChildProcess> {
  const owner = spawnOwner(data_dir, options);
  await until(() => owner.output().includes('ready') || owner.child.exitCode !== null);
  expect(owner.output()).toContain('ready');
  return owner.child;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await until(() => child.signalCode !== null);
}

const clusterOf = (data_dir: string): string => join(data_dir, 'postgres-18');
const postmasterPid = (data_dir: string): number =>
  Number(readFileSync(join(clusterOf(data_dir), 'postmaster.pid'), 'utf8').split('\n')[0]);

/** Zombies count as gone: in a container whose first process does not collect them they stay. */
function lives(pid: number): boolean {
  if (LINUX) return existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return spawnSync('ps', ['-p', String(pid)]).status === 0;
}

function stranger(): number {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  cleanups.push(() => child.kill('SIGKILL'));
  return child.pid ?? 0;
}

describe('a healthy life', () => {
  test('starts cold and warm, answers both drivers, keeps data, speaks only through its socket', async () => {
    const data_dir = join(scratch(), 'data');
    const cold_at = performance.now();
    const first = await start(data_dir);
    const cold_ms = Math.round(performance.now() - cold_at);
    expect(await query(first, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(await queryWithPostgresJs(first, 'select 1 as one')).toEqual([{ one: 1 }]);
    const by_url = new Client({ connectionString: first.url('postgres') });
    await by_url.connect();
    await by_url.end();
    const settings = `select current_setting('listen_addresses') as tcp, current_setting('fsync') as fsync,
      current_setting('synchronous_commit') as sync, current_setting('data_checksums') as sums,
      current_setting('server_encoding') as encoding, current_setting('lc_messages') as locale`;
    expect(await query(first, settings)).toEqual([
      { tcp: '', fsync: 'on', sync: 'on', sums: 'on', encoding: 'UTF8', locale: 'C' },
    ]);
    expect(statSync(first.socket_dir).mode & 0o777).toBe(0o700);
    expect(statSync(clusterOf(data_dir)).mode & 0o777).toBe(0o700);
    await query(first, 'create table kept as select 42 as n');
    await first.stop();
    await first.stop();
    expect(await first.exited).toEqual({ code: 0, signal: null });

    const warm_at = performance.now();
    const second = await start(data_dir, { settings: { work_mem: '5MB' } });
    const warm_ms = Math.round(performance.now() - warm_at);
    expect(second.recovered).toBeNull();
    expect(await queryWithPostgresJs(second, `select n, current_setting('work_mem') as w from kept`)).toEqual([
      { n: 42, w: '5MB' },
    ]);
    console.log(`cold ${cold_ms} ms, warm ${warm_ms} ms`);
    // Far above the targets of 1500 and 200 ms: a busy test machine must not fail this.
    expect(cold_ms).toBeLessThan(10_000);
    expect(warm_ms).toBeLessThan(3_000);
  });

  test('takes a path with spaces, quotes and other signs', async () => {
    const running = await start(join(scratch('flotilla pg '), `it's a "data" dir, 100%: ü`));
    expect(await query(running, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(await queryWithPostgresJs(running, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('takes a path too long for a socket, and refuses a planted socket directory', async () => {
    const data_dir = join(scratch(), 'l'.repeat(120), 'data');
    const running = await start(data_dir);
    expect(running.socket_dir.startsWith(data_dir)).toBe(false);
    cleanups.unshift(() => rmSync(running.socket_dir, { recursive: true, force: true }));
    expect(await query(running, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(await queryWithPostgresJs(running, 'select 1 as one')).toEqual([{ one: 1 }]);
    await running.stop();
    expect(existsSync(running.socket_dir)).toBe(false);
    symlinkSync(scratch(), running.socket_dir);
    await expect(start(data_dir)).rejects.toThrow(/should be a directory of the user/);
  });

  test('stops what it started when the start is aborted', async () => {
    for (const delay_ms of [1, 100, 400]) {
      const data_dir = join(scratch(), 'data');
      const reason = new Error('stop it');
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), delay_ms);
      const outcome = await start(data_dir, { signal: controller.signal }).catch((error: unknown) => error);
      if (outcome !== reason) continue; // This machine was faster than the abort.
      expect(existsSync(join(clusterOf(data_dir), 'postmaster.pid'))).toBe(false);
      expect(readdirSync(data_dir).filter((name) => name.includes('.init'))).toEqual([]);
      expect((await start(data_dir)).recovered).toBeNull();
    }
  });
});

describe('one coordinator per data directory', () => {
  test('refuses a second one and leaves the first alone', async () => {
    const data_dir = join(scratch(), 'data');
    const owner = await readyOwner(data_dir);
    const pid = postmasterPid(data_dir);
    await expect(start(data_dir)).rejects.toThrow(`Another coordinator (pid ${owner.pid}) uses this data directory`);
    expect(postmasterPid(data_dir)).toBe(pid);
    expect(lives(pid)).toBe(true);
    owner.kill('SIGTERM');
    await until(() => owner.exitCode !== null);
    expect((await start(data_dir)).recovered).toBeNull();
  });

  test('lets exactly one of several win the lock of a dead one', async () => {
    const data_dir = join(scratch(), 'data');
    await kill(await readyOwner(data_dir));
    const owners = Array.from({ length: 4 }, () => spawnOwner(data_dir));
    await until(() => owners.every((owner) => owner.output() !== ''), 20_000);
    const outputs = owners.map((owner) => owner.output());
    expect(outputs.filter((output) => output.includes('ready'))).toHaveLength(1);
    expect(outputs.filter((output) => output.includes('Another coordinator (pid'))).toHaveLength(3);
  });
});

describe('after a kill', () => {
  test('of the coordinator no orphan stays and committed data is there', async () => {
    const data_dir = join(scratch(), 'data');
    const setup = 'create table kept as select 1 as n';
    const owner = await readyOwner(data_dir, { setup });
    const pid = postmasterPid(data_dir);
    await kill(owner);
    if (LINUX) await until(() => !lives(pid));
    const next = await start(data_dir);
    expect(next.recovered).toMatch(/coordinator|orphan/);
    expect(lives(pid)).toBe(false);
    expect(await query(next, 'select n from kept')).toEqual([{ n: 1 }]);
  });

  test('of the coordinator, a postmaster that did not notice is stopped by the next one', async () => {
    const data_dir = join(scratch(), 'data');
    const owner = await readyOwner(data_dir);
    const pid = postmasterPid(data_dir);
    // Stopped, it leaves its parent's death signal pending, as if there were none.
    process.kill(pid, 'SIGSTOP');
    await kill(owner);
    const starting = start(data_dir);
    setTimeout(() => process.kill(pid, 'SIGCONT'), 200);
    expect((await starting).recovered).toBe(`Stopped an orphaned Postgres (pid ${pid}) of an earlier coordinator.`);
    expect(lives(pid)).toBe(false);
  });

  test('of the postmaster `exited` resolves, and the next start ends the backends that outlived it', async () => {
    const data_dir = join(scratch(), 'data');
    const first = await start(data_dir);
    await query(first, 'create table kept as select 7 as n');
    const busy = new Client(first.connection('postgres'));
    busy.on('error', () => {});
    await busy.connect();
    const { rows } = await busy.query<{ pid: number }>('select pg_backend_pid() as pid');
    const backend = rows[0]?.pid ?? 0;
    const endless = busy.query('select sum(x) from generate_series(1, 1e12) x').catch((error: unknown) => error);
    const pid = postmasterPid(data_dir);
    process.kill(pid, 'SIGKILL');
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' });
    const second = await start(data_dir);
    expect(second.recovered).toContain(`pid ${pid}`);
    expect(lives(backend)).toBe(false);
    expect(await endless).toBeInstanceOf(Error);
    expect(await query(second, 'select n from kept')).toEqual([{ n: 7 }]);
  });

  test('of everything during initdb the next start begins afresh', async () => {
    const data_dir = join(scratch(), 'data');
    const { child } = spawnOwner(data_dir);
    await until(
      () =>
        existsSync(data_dir) &&
        readdirSync(data_dir).some((name) => name.includes('.init') && readdirSync(join(data_dir, name)).length > 3),
    );
    await kill(child);
    expect(existsSync(clusterOf(data_dir))).toBe(false);
    mkdirSync(join(data_dir, 'postgres-18.init/base'), { recursive: true });
    const next = await start(data_dir);
    expect(next.recovered).toContain('unfinished');
    expect(await query(next, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(readdirSync(data_dir).filter((name) => name.includes('.init'))).toEqual([]);
  });

  test.skipIf(!LINUX)(
    'locks that name a live stranger (pids are reused) do not matter; only Linux tells them apart',
    async () => {
      const data_dir = join(scratch(), 'data');
      const first = await start(data_dir);
      const cluster = clusterOf(data_dir);
      const text = readFileSync(join(cluster, 'postmaster.pid'), 'utf8');
      await first.stop();
      const pid = stranger();
      const { uid, gid } = statSync(cluster);
      for (const path of [join(cluster, 'postmaster.pid'), join(first.socket_dir, '.s.PGSQL.5432.lock')]) {
        writeFileSync(path, text.replace(/^\d+/, String(pid)));
        chownSync(path, uid, gid);
      }
      writeFileSync(
        join(data_dir, 'coordinator.lock.900'),
        JSON.stringify({ pid, start_time: '1', boot_id: null, released: false }),
      );
      const second = await start(data_dir);
      expect(second.recovered).toContain(`pid ${pid}`);
      expect(lives(pid)).toBe(true);
      await second.stop();
      // What a power cut leaves of files that were not synced.
      writeFileSync(join(cluster, 'postmaster.pid'), '');
      writeFileSync(join(data_dir, 'coordinator.lock.901'), '');
      expect(await query(await start(data_dir), 'select 1 as one')).toEqual([{ one: 1 }]);
    },
  );
});

const refusal = async (data_dir: string): Promise<{ name: string; message: string; hint: string }> =>
  await start(data_dir).then(
    () => expect.fail('it started'),
    (error: Error & { hint: string }) => ({ name: error.name, message: error.message, hint: error.hint }),
  );

describe('refuses in a clear sentence', () => {
  test('a file in the way, a foreign version, a foreign directory, and a fixed setting', async () => {
    const dir = scratch();
    writeFileSync(join(dir, 'file'), '');
    expect((await refusal(join(dir, 'file'))).message).toContain('is not a directory');
    expect((await refusal(join(dir, 'file/data'))).message).toContain('not a directory');
    for (const [name, sentence] of [
      ['postgres-17', 'data of Postgres 17'],
      ['postgres-19', 'data of Postgres 19'],
      ['postgres-18', 'no PG_VERSION'],
    ] as const) {
      const data_dir = join(dir, `with-${name}`);
      mkdirSync(join(data_dir, name), { recursive: true });
      writeFileSync(join(data_dir, name, name === 'postgres-18' ? 'photo.jpg' : 'PG_VERSION'), '');
      if (ROOT) chownSync(join(data_dir, name), NOBODY, NOBODY);
      const { name: kind, message, hint } = await refusal(data_dir);
      expect([kind, message]).toEqual(['EmbeddedPostgresError', expect.stringContaining(sentence)]);
      expect(hint).toMatch(/move/i);
    }
    writeFileSync(join(dir, 'PG_VERSION'), '17');
    expect((await refusal(dir)).message).toContain('is itself a Postgres cluster');
    await expect(start(join(dir, 'data'), { settings: { listen_addresses: '*' } })).rejects.toThrow('listen_addresses');
  });

  test.skipIf(ROOT)('a directory without write permission (root may write everywhere)', async () => {
    const { message, hint } = await refusal(join(scratch('flotilla-pg-', 0o555), 'data'));
    expect(message).toMatch(/Cannot create the data directory .*: permission denied/);
    expect(hint).toContain('FLOTILLA_DATA_DIR');
  });

  const can_mount = ROOT && LINUX && mountTmpfs(scratch(), '1m');
  test.skipIf(!can_mount)('a full disk (needs root, to mount a small one), and starts once there is room', async () => {
    const dir = scratch();
    expect(mountTmpfs(dir, '20m')).toBe(true);
    const data_dir = join(dir, 'data');
    const { message, hint } = await refusal(data_dir);
    expect(message).toMatch(/Cannot create a Postgres cluster in .*(No space left|Check free disk space)/);
    expect(hint).toContain('Free some disk space');
    expect(readdirSync(data_dir).filter((name) => name.startsWith('postgres-18'))).toEqual([]);
    spawnSync('mount', ['-o', 'remount,size=200m', dir]);
    expect(await query(await start(data_dir), 'select 1 as one')).toEqual([{ one: 1 }]);
  });
});

function mountTmpfs(dir: string, size: string): boolean {
  cleanups.push(() => spawnSync('umount', [dir]));
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=755`, 'tmpfs', dir]).status === 0;
}

describe.skipIf(!ROOT || !LINUX)('started by root (only root can change users)', () => {
  test('enters a directory closed to the user of Postgres', async () => {
    const data_dir = join(scratch('flotilla closed ', 0o700), 'data');
    const running = await start(data_dir);
    expect(running.lines[0]).toContain('CAP_DAC_READ_SEARCH');
    expect(statSync(clusterOf(data_dir)).uid).not.toBe(0);
    expect(await query(running, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(await queryWithPostgresJs(running, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('needs no capability in an open one', async () => {
    const data_dir = join(scratch(), 'data');
    await readyOwner(data_dir);
    expect(readFileSync(`/proc/${postmasterPid(data_dir)}/status`, 'utf8')).toMatch(/^CapEff:\s+0+$/m);
  });

  test('an ordinary user can start as well, root can take over its cluster, and gets it back', async () => {
    const dir = scratch();
    chownSync(dir, NOBODY, NOBODY);
    const data_dir = join(dir, 'data');
    const setup = 'create table kept as select 3 as n';
    await kill(await readyOwner(data_dir, { uid: NOBODY, setup }));
    const running = await start(data_dir);
    expect(await query(running, 'select n from kept')).toEqual([{ n: 3 }]);
    expect(statSync(clusterOf(data_dir)).uid).toBe(NOBODY);
    await running.stop();
    (await readyOwner(data_dir, { uid: NOBODY })).kill('SIGTERM');
  });

  test('an ordinary user is told about directories that are not its own', async () => {
    const dir = scratch();
    const closed = spawnOwner(join(dir, 'data'), { uid: NOBODY });
    await until(() => closed.child.exitCode !== null);
    expect(closed.output()).toMatch(/^EmbeddedPostgresError: Cannot create the data directory .*permission denied/);
    expect(closed.output()).not.toContain('    at ');
  });
});

test('makes the library links that npm skipped, several coordinators at once included', () => {
  const root = join(scratch(), 'package/native');
  mkdirSync(join(root, 'lib'), { recursive: true });
  writeFileSync(join(root, 'lib/libpq.so.5.18'), 'library');
  writeFileSync(
    join(root, 'pg-symlinks.json'),
    '[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]',
  );
  const binaries = { ...findBinaries(), root };
  expect(linkLibraries(binaries, scratch())).toBeNull();
  expect(linkLibraries(binaries, scratch())).toBeNull();
  expect(readFileSync(join(root, 'lib/libpq.so.5'), 'utf8')).toBe('library');
});
