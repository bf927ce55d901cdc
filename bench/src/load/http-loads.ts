import { randomUUID } from 'node:crypto';

import { type Connection, openConnection } from './connection.ts';
import { type Bounds, measure, type Measured } from './measure.ts';

/** One connection, and the agent or person who asks next over it. */
type Lane = { connection: Connection; id: number; token: string; index: number };
type Operate = (lane: Lane) => Promise<number>;

export type HttpJob = {
  load: keyof typeof loads;
  url: string;
  connections: number;
  /** Who asks, in turn: every connection has its own share of them. */
  callers: { id: number; token: string }[];
  bounds: Bounds;
  /** Tasks per claim. */
  batch?: number;
  /** What each agent's beat says it runs. */
  held?: { task_id: number; epoch: number }[][];
};

const CLAIM = '/api/v1/tasks/claim';

const ask = async ({ connection, token }: Lane, method: string, path: string, body: unknown): Promise<unknown> => {
  const answer = await connection.request(method, path, token, JSON.stringify(body));
  if (answer.status >= 300) throw new Error(`${method} ${path} answered ${answer.status}: ${answer.body}`);
  return answer.body === '' ? null : JSON.parse(answer.body);
};

type Claimed = { tasks: { id: number; epoch: number }[] };

const claim = (lane: Lane, slots: number) =>
  ask(lane, 'POST', CLAIM, { slots, wait_s: 0, claim_id: randomUUID() }) as Promise<Claimed>;

const complete = (lane: Lane, { id, epoch }: { id: number; epoch: number }) =>
  ask(lane, 'POST', `/api/v1/tasks/${id}/complete`, { epoch, resolution: 'done', exit_code: 0, log_sizes: {} });

const loads = {
  /** Claims until nothing is left. */
  claim:
    ({ batch = 1 }) =>
    async (lane) =>
      (await claim(lane, batch)).tasks.length,
  /** Claims and reports, one after the other. */
  cycle: () => async (lane) => {
    const { tasks } = await claim(lane, 1);
    for (const task of tasks) await complete(lane, task);
    return tasks.length;
  },
  create: () => async (lane) => {
    await ask(lane, 'POST', '/api/v1/tasks', { title: 'bench' });
    return 1;
  },
  beat: ({ held = [] }) => {
    const instance_id = randomUUID();
    let seq = 0;
    return async (lane) => {
      seq += 1;
      const attempts = (held[lane.index] ?? []).map((attempt) => ({ ...attempt, phase: 'running' }));
      await ask(lane, 'POST', `/api/v1/agents/${lane.id}/heartbeat`, {
        instance_id,
        seq,
        state: 'active',
        eligibility_generation: 0,
        attempts,
      });
      return 1;
    };
  },
  /** The cheapest request there is, against the bare server: what HTTP alone costs here. */
  echo: () => async (lane) => {
    await ask(lane, 'POST', '/', { slots: 1 });
    return 1;
  },
} satisfies Record<string, (job: Omit<HttpJob, 'load'>) => Operate>;

export const runHttpLoad = async (job: HttpJob): Promise<Measured> => {
  const operate: Operate = loads[job.load](job);
  const url = new URL(job.url);
  const connections = await Promise.all(Array.from({ length: job.connections }, () => openConnection(url)));
  const lanes = connections.map((connection, lane) => {
    let index = lane % job.callers.length;
    return () => {
      const { id, token } = job.callers[index] ?? { id: 0, token: '' };
      const done = operate({ connection, id, token, index });
      index = index + job.connections < job.callers.length ? index + job.connections : lane % job.callers.length;
      return done;
    };
  });
  try {
    return await measure(lanes, job.bounds);
  } finally {
    for (const connection of connections) connection.close();
  }
};
