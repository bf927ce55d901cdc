// make coordinators [ROUNDS=3]: what several coordinators on one Postgres claim per second, against one alone. The first is
// the stage's, whose bundled Postgres serves the others through its socket.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { type Loader, startLoader } from '../loader.ts';
import { fillQueue } from '../queue.ts';
import type { Measured } from '../load/measure.ts';
import { compare, print, type Result } from '../report.ts';
import { BOUNDS } from '../scenarios/claims.ts';
import { type Agent, openStage, type Stage } from '../stage.ts';

const MAIN = join(import.meta.dirname, '../../../coordinator/dist/main.js');
const CONNECTIONS = 64;
const QUEUED = 100_000;

type Further = { url: string; close(): Promise<void> };

/** One more coordinator on the database of the stage. */
const addCoordinator = async ({ facts, admin_token }: Stage): Promise<Further> => {
  const dir = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
  const { PATH = '', HOME = '' } = process.env;
  const child: ChildProcess = spawn(process.execPath, [MAIN], {
    env: {
      PATH,
      HOME,
      FLOTILLA_PORT: '0',
      FLOTILLA_DATA_DIR: dir,
      FLOTILLA_ADMIN_TOKEN: admin_token,
      FLOTILLA_LOG_LEVEL: 'warn',
      DATABASE_URL: `postgres:///${facts.database}?host=${encodeURIComponent(facts.host)}&user=${facts.user}`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = () => child.kill('SIGKILL');
  process.once('exit', stop);
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) {
    const said = JSON.parse(line) as { event: string; url: string };
    if (said.event !== 'listening') continue;
    const close = async () => {
      process.off('exit', stop);
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
      await rm(dir, { recursive: true, force: true });
    };
    return { url: said.url, close };
  }
  throw new Error('a further coordinator ended before it listened');
};

const sum = (parts: Measured[]): Measured => ({
  count: parts.reduce((total, { count }) => total + count, 0),
  seconds: Math.max(...parts.map(({ seconds }) => seconds)),
  per_s: parts.reduce((total, { per_s }) => total + per_s, 0),
  p50_ms: Math.max(...parts.map(({ p50_ms }) => p50_ms)),
  p99_ms: Math.max(...parts.map(({ p99_ms }) => p99_ms)),
});

/** The same load in all, spread over one, two or three coordinators; a generator each, so that none waits for another. */
const coordinators = async (
  stage: Stage,
  agents: Agent[],
  urls: string[],
  loaders: Loader[],
  rounds: number,
): Promise<Result> => {
  const sides = [1, 2, 3].map((count) => ({
    name: `${count} coordinator${count > 1 ? 's' : ''}`,
    run: async () => {
      await fillQueue(stage, QUEUED);
      const parts = loaders.slice(0, count).map((loader, index) => {
        const callers = agents.filter((_, at) => at % count === index);
        const connections = Math.floor(CONNECTIONS / count);
        const url = urls[index] ?? '';
        const job = { load: 'claim' as const, batch: 1, url, connections, callers, bounds: BOUNDS };
        return loader.run({ kind: 'http', job });
      });
      return sum(await Promise.all(parts));
    },
  }));
  return compare(`claims, batch 1, ${CONNECTIONS} connections over several coordinators`, 'per s', sides, rounds);
};

const stage = await openStage();
const further: Further[] = [];
const loaders = [startLoader(), startLoader(), startLoader()];
try {
  for (let count = 0; count < 2; count++) further.push(await addCoordinator(stage));
  const urls = [stage.url, ...further.map(({ url }) => url)];
  const agents = await stage.agents(384, 128);
  print(await coordinators(stage, agents, urls, loaders, Number(process.env.ROUNDS ?? '3')));
} finally {
  for (const loader of loaders) loader.close();
  for (const one of further) await one.close();
  await stage.close();
}
