import { ask, beat, type Caller, claim, complete, create, type Held } from './ask.ts';
import { type Connection, openConnections } from './connection.ts';
import { type Bounds, measure, type Measured } from './measure.ts';

/** One connection, and who asks next over it. */
type Lane = Caller & { connection: Connection; index: number };
type Operate = (lane: Lane) => Promise<number>;

export type HttpJob = {
  load: keyof typeof loads;
  url: string;
  connections: number;
  /** Who asks, in turn: every connection has its own share of them. */
  callers: Caller[];
  bounds: Bounds;
  /** Tasks per claim. */
  batch?: number;
  /** What each caller runs, by its position. */
  held?: Held[][];
  /** Of the beats of a caller each one of this many makes the coordinator renew its leases. */
  renewing?: number;
  chunk_bytes?: number;
  /** Persons who create tasks at the same time, over as many connections. */
  creator?: Caller;
};

const loads = {
  /** Claims until nothing is left. */
  claim:
    ({ batch = 1 }) =>
    async ({ connection, token }) =>
      (await claim(connection, token, batch)).tasks.length,
  /** Claims and reports, one after the other, until nothing is left. */
  cycle:
    () =>
    async ({ connection, token }) => {
      const { tasks } = await claim(connection, token, 1);
      for (const task of tasks) await complete(connection, token, task);
      return tasks.length;
    },
  /** The same while others add, so it waits when there is nothing at the moment. */
  serve:
    ({ bounds }) =>
    async ({ connection, token }) => {
      const end = performance.now() + bounds.ms;
      while (performance.now() < end) {
        const { tasks } = await claim(connection, token, 1, 1);
        for (const task of tasks) await complete(connection, token, task);
        if (tasks.length > 0) return tasks.length;
      }
      return 0;
    },
  create:
    () =>
    async ({ connection, token }) => {
      await create(connection, token, 'bench');
      return 1;
    },
  /** A new phase has to be stored, and a lease that is stored is renewed: no clock would make a beat renew so often. */
  beat: ({ held = [], renewing = 1 }) => {
    let seq = Date.now();
    const beats = new Map<number, number>();
    return async (lane) => {
      seq += 1;
      const before = beats.get(lane.index) ?? lane.index; // not all of them in the same round
      beats.set(lane.index, before + 1);
      const phase = Math.floor(before / renewing) % 2 === 0 ? 'running' : 'reporting';
      await beat(lane.connection, lane, seq, held[lane.index] ?? [], phase);
      return 1;
    };
  },
  /** Appends to the log of what each caller runs; the unit is a megabyte. */
  log: ({ held = [], chunk_bytes = 0 }) => {
    const chunk = Buffer.alloc(chunk_bytes, 'a line of log that says nothing of interest\n');
    const offsets = new Map<number, number>();
    return async ({ connection, token, index }) => {
      const { task_id, epoch } = held[index]?.[0] ?? { task_id: 0, epoch: 0 };
      const offset = offsets.get(index) ?? 0;
      offsets.set(index, offset + chunk_bytes);
      const path = `/api/v1/tasks/${task_id}/log?epoch=${epoch}&stream=stdout&offset=${offset}`;
      await ask(connection, token, 'POST', path, chunk);
      return chunk_bytes / 1_000_000;
    };
  },
  /** Against the bare server: what HTTP costs here, without and with one read of the database. */
  echo:
    () =>
    async ({ connection, token }) => {
      await ask(connection, token, 'POST', '/echo', { slots: 1 });
      return 1;
    },
  read:
    () =>
    async ({ connection, token }) => {
      await ask(connection, token, 'POST', '/read', { id: 1 + Math.floor(Math.random() * 1000) });
      return 1;
    },
} satisfies Record<string, (job: Omit<HttpJob, 'load'>) => Operate>;

/** Adds beside what is measured, until it ends. Tasks that nobody claims any more are the next run's to remove. */
const addMeanwhile = (lanes: Connection[], { token }: Caller, signal: AbortSignal) =>
  Promise.all(
    lanes.map(async (connection) => {
      while (!signal.aborted) await create(connection, token, 'bench');
    }),
  );

export const runHttpLoad = async (job: HttpJob): Promise<Measured> => {
  const operate: Operate = loads[job.load](job);
  const url = new URL(job.url);
  const connections = await openConnections(url, job.connections);
  const adders = job.creator === undefined ? [] : await openConnections(url, job.connections);
  const lanes = connections.map((connection, lane) => {
    let index = lane % job.callers.length;
    return () => {
      const { id, token } = job.callers[index] ?? { id: 0, token: '' };
      const done = operate({ connection, id, token, index });
      index = index + job.connections < job.callers.length ? index + job.connections : lane % job.callers.length;
      return done;
    };
  });
  const ended = new AbortController();
  try {
    const adding = job.creator === undefined ? null : addMeanwhile(adders, job.creator, ended.signal);
    const measured = measure(lanes, job.bounds);
    await Promise.race([measured, adding?.then(() => measured)].filter((wait) => wait !== undefined));
    ended.abort();
    await adding;
    return await measured;
  } finally {
    ended.abort();
    for (const connection of [...connections, ...adders]) connection.close();
  }
};
