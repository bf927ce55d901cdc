import { type Caller, claim, complete, create } from './ask.ts';
import { type Connection, openConnections } from './connection.ts';
import { type Measured, summarize } from './measure.ts';

/** From the start of a POST of a task until one of many parked long polls has it. */
export type DispatchJob = {
  url: string;
  person: Caller;
  agents: Caller[];
  /** Tasks in all, and how many of them are posted at the same time. */
  tasks: number;
  at_once: number;
};

const PARK_S = 25;
/** What takes longer counts as this late. */
const LATE_MS = 20_000;
/** No more is posted after this time: of single ones there are fewer then. */
const POSTING_MS = 10_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

type Desk = { got(title: string): void; reports: Set<Promise<unknown>>; ended: boolean };

/** Parks one agent again and again; tells of what it got. Its connection is closed at the end, which ends it. */
const park = async (connection: Connection, { token }: Caller, desk: Desk) => {
  while (!desk.ended) {
    const { tasks } = await claim(connection, token, 1, PARK_S);
    for (const task of tasks) {
      desk.got(task.title);
      const report = complete(connection, token, task);
      desk.reports.add(report);
      await report;
      desk.reports.delete(report);
    }
  }
};

export const runDispatch = async ({ url, person, agents, tasks, at_once }: DispatchJob): Promise<Measured> => {
  const address = new URL(url);
  const connections = await openConnections(address, agents.length);
  const posting = await openConnections(address, Math.min(at_once, 64));
  const holders = new Map<string, (at: number) => void>();
  const got = (title: string) => holders.get(title)?.(performance.now());
  const desk: Desk = { got, reports: new Set(), ended: false };
  const parks = agents.map((agent, index) => {
    return park(connections[index] as Connection, agent, desk).catch((error: unknown) => {
      if (!desk.ended) throw error;
    });
  });
  const failed = Promise.all(parks).then(() => Promise.reject(new Error('every agent left')));
  const heldAt = (title: string) =>
    new Promise<number>((resolve) => {
      const timer = setTimeout(() => resolve(performance.now()), LATE_MS);
      holders.set(title, (at) => {
        clearTimeout(timer);
        resolve(at);
      });
    });
  /** Lanes post one after the other; a latency counts from when its lane could post, in a burst from its beginning. */
  const work = async () => {
    await sleep(200 + Math.min(3_000, agents.length)); // until all of them are parked
    const began = performance.now();
    const titles = Array.from({ length: tasks }, (_, n) => `dispatch-${n}`).values(); // shared by the lanes
    const lanes = posting.map(async (connection) => {
      const latencies: Promise<number>[] = [];
      for (const title of titles) {
        if (performance.now() - began > POSTING_MS) break;
        const from = at_once > 1 ? began : performance.now();
        const held = heldAt(title).then((at) => at - from);
        latencies.push(held);
        await Promise.all([create(connection, person.token, title), at_once > 1 ? null : held]);
      }
      return Promise.all(latencies);
    });
    const latencies = (await Promise.all(lanes)).flat();
    // What a burst could not even post is as late as can be.
    if (at_once > 1) while (latencies.length < tasks) latencies.push(LATE_MS);
    return summarize(latencies.length, (performance.now() - began) / 1000, latencies);
  };
  try {
    return await Promise.race([work(), failed]);
  } finally {
    desk.ended = true;
    await Promise.allSettled(desk.reports); // or they would meet what the next run prepares
    for (const connection of [...connections, ...posting]) connection.close();
  }
};
