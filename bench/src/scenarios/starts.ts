import { once } from 'node:events';
import { join } from 'node:path';

import { createClient } from '@flotilla/shared';

import type { Bench, Scenario } from '../bench.ts';
import { ADMIN_TOKEN, makeFolder, startAgentd, startCoordinator, startProgram } from '../coordinator.ts';
import { compare, limits, score } from '../report.ts';
import { longRounds } from '../scale.ts';
import { type Scope, within } from '../scope.ts';

type Started = { coordinator_cold: number; coordinator_warm: number; agentd_cold: number; agentd_warm: number };

/** Both from nothing, then both again with what they kept. */
const startBoth = async (scope: Scope): Promise<Started> => {
  const dir = await makeFolder(scope);
  const data_dir = join(dir, 'data');
  const first = await startCoordinator(scope, data_dir);
  await first.stop();
  const second = await startCoordinator(scope, data_dir);
  const client = createClient({ base_url: second.url, token: ADMIN_TOKEN });
  const { token = '' } = await client.join_tokens.create({ body: {} });
  const env = { FLOTILLA_URL: second.url, FLOTILLA_JOIN_TOKEN: token, FLOTILLA_STATE_DIR: join(dir, 'agentd') };
  const joined = await startAgentd(scope, env);
  await joined.stop();
  const again = await startAgentd(scope, env);
  await again.stop();
  return {
    coordinator_cold: first.started_ms,
    coordinator_warm: second.started_ms,
    agentd_cold: joined.started_ms,
    agentd_warm: again.started_ms,
  };
};

/** `make start ONCE=1` in a folder: to a finished task and stopped again. */
const makeStart = (scope: Scope, data_dir: string): Promise<number> =>
  within(scope, async (own) => {
    const began = performance.now();
    const env = { FLOTILLA_DATA_DIR: data_dir, FLOTILLA_PORT: '0', FLOTILLA_EXECUTOR: 'command' };
    const { child } = startProgram(own, ['make', 'start', 'ONCE=1'], env);
    child.stdout.resume();
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`make start ONCE=1 ended with ${String(code)}`);
    return performance.now() - began;
  });

const PROGRAMS: { key: keyof Started; metric: string; means: string }[] = [
  {
    key: 'coordinator_cold',
    metric: 'first start of a coordinator, with a new Postgres',
    means: 'From nothing to a coordinator that answers.',
  },
  { key: 'coordinator_warm', metric: 'later start of a coordinator', means: 'How long an upgrade interrupts the API.' },
  { key: 'agentd_cold', metric: 'first start of agentd, until it has joined', means: 'How long a new host takes.' },
  { key: 'agentd_warm', metric: 'later start of agentd', means: 'How long an upgrade of a host takes.' },
];

/** From the start of a program to its readiness. */
export const starts: Scenario = async function* ({ scope, scale }: Bench) {
  const seen: Started[] = [];
  for (let round = 0; round < longRounds(scale); round++) seen.push(await within(scope, startBoth));
  for (const { key, metric, means } of PROGRAMS) {
    const samples = seen.map((one) => ({ value: one[key] }));
    yield score({ metric, unit: 'ms', means }, [{ name: 'Flotilla', samples }]);
  }
  if (!scale.whole_start) return;
  const data_dir = join(await makeFolder(scope), 'data');
  await makeStart(scope, data_dir);
  const metric = {
    metric: '`make start ONCE=1` to a finished task and stopped again, built and started before',
    unit: 's',
    means: 'How long it takes to see the whole thing work.',
    goals: [limits('≤5 s', ({ value }) => value <= 5)],
  };
  const run = async () => ({ value: (await makeStart(scope, data_dir)) / 1000 });
  yield await compare(metric, [{ name: 'Flotilla', run }], longRounds(scale));
};
