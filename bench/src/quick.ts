import { startLoader } from './loader.ts';
import { fillCeiling, fillQueue, freeSlots } from './queue.ts';
import { openStage } from './stage.ts';
const prof = process.argv.includes('--prof');
const only = process.argv[2] ?? 'all';
const stage = await openStage(prof ? { node_flags: ['--cpu-prof', '--cpu-prof-dir=/tmp/prof'] } : {});
const loader = startLoader();
const stmts = process.argv.includes('--stmts');
if (stmts) {
  await stage.sql.unsafe("alter system set shared_preload_libraries='pg_stat_statements'");
  const fs = await import('node:fs');
  process.kill(
    Number(
      fs.readFileSync(stage.facts.host.replace(/\/[^/]*$/, '') + '/postgres-18/postmaster.pid', 'utf8').split('\n')[0],
    ),
    'SIGKILL',
  );
  await new Promise((r) => setTimeout(r, 4000));
  await stage.sql
    .unsafe('create extension pg_stat_statements')
    .catch((e) => stage.sql.unsafe('create extension pg_stat_statements'));
}
const bounds = { ms: 4000, count: 1e9 };
const show = (name: string, m: { per_s: number; p50_ms: number; p99_ms: number }) =>
  console.log(name.padEnd(20), Math.round(m.per_s), 'per s', m.p50_ms.toFixed(2), m.p99_ms.toFixed(2));
console.log('agents');
const callers = await stage.agents(512, 128);
console.log('ready', callers.length);
const want = (n: string) => only === 'all' || only.split(',').includes(n);
for (let rep = 0; rep < 2; rep++) {
  if (want('claim')) {
    await fillQueue(stage, 100_000);
    show(
      'claim',
      await loader.run({ kind: 'http', job: { load: 'claim', url: stage.url, connections: 64, callers, bounds } }),
    );
    await fillCeiling(stage.sql, 100_000);
    show(
      'raw claim',
      await loader.run({ kind: 'sql', job: { load: 'claim', database: stage.facts, clients: 16, batch: 1, bounds } }),
    );
  }
  if (want('claim32')) {
    await fillQueue(stage, 100_000);
    show(
      'claim32',
      await loader.run({
        kind: 'http',
        job: { load: 'claim', batch: 32, url: stage.url, connections: 64, callers, bounds },
      }),
    );
    await fillCeiling(stage.sql, 100_000);
    show(
      'raw claim32',
      await loader.run({ kind: 'sql', job: { load: 'claim', database: stage.facts, clients: 16, batch: 32, bounds } }),
    );
  }
  if (want('cycle')) {
    await fillQueue(stage, 100_000);
    show(
      'cycle',
      await loader.run({ kind: 'http', job: { load: 'cycle', url: stage.url, connections: 64, callers, bounds } }),
    );
    await fillCeiling(stage.sql, 100_000);
    show(
      'raw cycle',
      await loader.run({ kind: 'sql', job: { load: 'cycle', database: stage.facts, clients: 16, batch: 1, bounds } }),
    );
  }
  if (want('create')) {
    show(
      'create',
      await loader.run({
        kind: 'http',
        job: { load: 'create', url: stage.url, connections: 64, callers: [{ id: 0, token: stage.admin_token }], bounds },
      }),
    );
    await fillCeiling(stage.sql, 1_000);
    show(
      'raw create',
      await loader.run({ kind: 'sql', job: { load: 'create', database: stage.facts, clients: 16, batch: 1, bounds } }),
    );
  }
  if (want('beat')) {
    await fillQueue(stage, 10_000);
    await freeSlots(stage.sql);
    show(
      'beat',
      await loader.run({ kind: 'http', job: { load: 'beat', url: stage.url, connections: 64, callers, bounds } }),
    );
    show(
      'raw beat',
      await loader.run({ kind: 'sql', job: { load: 'beat', database: stage.facts, clients: 16, batch: 1, bounds } }),
    );
  }
}
loader.close();
if (stmts)
  for (const r of await stage.sql`select calls, round(total_exec_time::numeric,0) as ms, round(mean_exec_time::numeric,3) as mean, round(rows::numeric/calls,1) as rows, left(regexp_replace(query,'\s+',' ','g'),130) as q from pg_stat_statements order by total_exec_time desc limit 25`)
    console.log(
      String(r.calls).padStart(7),
      String(r.ms).padStart(7),
      String(r.mean).padStart(9),
      String(r.rows).padStart(7),
      r.q,
    );
await stage.close();
