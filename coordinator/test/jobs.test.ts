import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, inject, it, type TestContext } from 'vitest';

import { readConfig } from '../src/config.ts';
import { runMaintenance } from '../src/jobs/maintenance.ts';
import { runCoordinator } from '../src/run.ts';
import { testApp, type TestApp } from './lib/app.ts';
import { createRedis, type TestRedis } from './lib/redis.ts';
import { until } from './lib/until.ts';

const PERIOD_MS = 400;
const REDIS = process.env.FLOTILLA_TEST_REDIS;

/** Where jobs live, and what may happen to it. */
type Place = {
  env: Record<string, string>;
  /** Everything in it is lost; connections stay. */
  lose(): Promise<unknown>;
  /** Every connection to it breaks; Redis is empty afterwards too. */
  strike(): Promise<unknown>;
};

const onPostgres = (app: TestApp): Place => ({
  env: {},
  lose: async () => {
    const tables = await app.sql<{ name: string }[]>`
      select quote_ident(tablename) as name from pg_tables where schemaname = 'bullmq' and tablename not like '%migration%'`;
    expect(tables.length).toBeGreaterThan(2);
    // A worker locks the same tables in another order: of the two, Postgres ends one.
    await until('all tables to be empty', () =>
      app.sql.unsafe(`truncate ${tables.map(({ name }) => `bullmq.${name}`).join(', ')}`).then(
        () => true,
        () => false,
      ),
    );
  },
  strike: async () => {
    const { count } = await app.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'flotilla-jobs'`;
    expect(count).toBeGreaterThan(1);
  },
});

const onRedis = (redis: TestRedis): Place => ({
  env: { REDIS_URL: redis.url },
  lose: () => redis.flush(),
  strike: async () => {
    await redis.kill();
    await redis.start();
  },
});

const factsOf = (app: TestApp) => {
  const { host, port, user } = inject('postgres');
  return { host, port, user, database: app.sql.options.database };
};

/** Maintenance as one coordinator runs it, stopped with the test; counts how often retention ran there. */
const start = (test: TestContext, app: TestApp, env: Record<string, string>) => {
  let runs = 0;
  const write = (line: string) => (runs += line.includes('retention ran') ? 1 : 0);
  const config = readConfig({ FLOTILLA_RETENTION_EVERY_MS: String(PERIOD_MS), ...env });
  const stop = new AbortController();
  const ended = runMaintenance({ ...app.deps, log: pino({}, { write }), config }, factsOf(app), stop.signal);
  test.onTestFinished(async () => {
    stop.abort();
    await ended;
  });
  return { runs: () => runs };
};

/** Retention works: what is overdue now goes, and a task of today stays. */
const expectRetention = async (app: TestApp) => {
  const old = await app.admin.tasks.create({ body: { title: 'deleted long ago', status: 'backlog' } });
  const kept = await app.admin.tasks.create({ body: { title: 'kept', status: 'backlog' } });
  await app.sql`update tasks set deleted_at = now() - interval '1 year' where id = ${old.id}`;
  const rows = async () =>
    (await app.sql`select id from tasks where id in (${old.id}, ${kept.id})`).map(({ id }) => id);
  await until('the overdue task to go', async () => (await rows()).length === 1, 20_000);
  expect(await rows()).toEqual([kept.id]);
};

const cases = (app: TestApp, place: () => Place) => {
  it('a job runs once a period, however many coordinators there are', async (test) => {
    const coordinators = [1, 2, 3].map(() => start(test, app, place().env));
    const runs = () => coordinators.reduce((sum, one) => sum + one.runs(), 0);
    await until('the first runs', () => runs() >= 2);
    const [before, begun] = [runs(), performance.now()];
    await until('eight more', () => runs() >= before + 8, 20_000);
    // At most one run more than periods: the first may come at once. Three schedules would need a third of the time.
    expect(performance.now() - begun).toBeGreaterThan(PERIOD_MS * 6);
    await expectRetention(app);
  });

  it('a queue that lost everything gets its schedule back while the coordinators run', async (test) => {
    const coordinators = [1, 2].map(() => start(test, app, place().env));
    const runs = () => coordinators.reduce((sum, one) => sum + one.runs(), 0);
    await until('a run', () => runs() > 0);
    for (let times = 0; times < 3; times++) {
      await place().lose();
      const before = runs();
      await until('two runs after the loss', () => runs() >= before + 2, 20_000);
      await expectRetention(app);
    }
  });

  it('broken connections come back', async (test) => {
    const { runs } = start(test, app, place().env);
    await until('a run', () => runs() > 0);
    for (let times = 0; times < 2; times++) {
      await place().strike();
      const before = runs();
      await until('two runs afterwards', () => runs() >= before + 2, 25_000);
      await expectRetention(app);
    }
  }, 90_000);
};

describe('jobs on Postgres', async () => {
  const app = await testApp();
  cases(app, () => onPostgres(app));
});

// The plan of `make test-external` names a redis-server; without it there is none to test with.
describe.skipIf(REDIS === undefined)('jobs on Redis', async () => {
  const app = await testApp();
  const redis = createRedis(REDIS ?? '');
  afterAll(() => redis.close());
  const place = onRedis(redis);
  beforeAll(() => redis.start());
  describe('that is there', () => {
    cases(app, () => place);
  });

  it('absent at the start, the coordinator works without it, and maintenance begins when it comes; gone, it stops nothing', async (test) => {
    await redis.kill();
    const { host, port, user, database } = factsOf(app);
    const lines: string[] = [];
    const config = readConfig({
      FLOTILLA_PORT: '0',
      FLOTILLA_RETENTION_EVERY_MS: String(PERIOD_MS),
      // The way operators name a socket.
      DATABASE_URL: `postgres:///${database}?host=${encodeURIComponent(host)}&port=${port}&user=${user}`,
      ...place.env,
    });
    const stop = new AbortController();
    let url = '';
    const ended = runCoordinator(
      config,
      pino({}, { write: (line: string) => lines.push(line) }),
      { listening: (at) => (url = at), adminToken: () => {} },
      stop.signal,
    );
    test.onTestFinished(() => stop.abort());
    await until('the coordinator to listen', () => url !== '');
    const ready = async () => (await fetch(`${url}/readyz`)).status;
    await until('a try to reach Redis', () => lines.some((line) => line.includes('not reachable')));
    expect(await ready()).toBe(200);

    await redis.start();
    await until('retention', () => lines.some((line) => line.includes('retention ran')), 25_000);
    await expectRetention(app);

    await redis.kill();
    expect(await ready()).toBe(200);
    const begun = performance.now();
    stop.abort();
    await ended;
    expect(performance.now() - begun).toBeLessThan(10_000);
  }, 60_000);
});
