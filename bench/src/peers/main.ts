// A peer's own process, as an application that uses it: one job from the parent, one answer, then it ends.
import { type Bounds, measure, type Measured, summarize } from '../load/measure.ts';
import { bullmqOnPostgres, bullmqOnRedis } from './bullmq.ts';
import { graphileWorker } from './graphile-worker.ts';
import { CONCURRENCY, type Peer, type PeerPlace } from './peer.ts';
import { pgBoss } from './pg-boss.ts';

const peers = { bullmqOnRedis, bullmqOnPostgres, pgBoss, graphileWorker };

export type PeerJob = {
  peer: keyof typeof peers;
  phase: keyof typeof phases;
  where: PeerPlace;
  /** `count` is how many jobs there are to drain. */
  bounds: Bounds;
};
export type PeerReply = { measured: Measured } | { error: string };

const addAll = (peer: Peer, ms: number) =>
  measure(
    Array.from({ length: CONCURRENCY }, () => async () => {
      await peer.add();
      return 1;
    }),
    { ms, count: Number.MAX_SAFE_INTEGER },
  );

/** Counts jobs as they run; `full` resolves when there were so many. */
const counter = (wanted: number) => {
  const began = performance.now();
  let count = 0;
  let reached = () => {};
  const full = new Promise<void>((resolve) => (reached = resolve));
  const ran = () => {
    count += 1;
    if (count === wanted) reached();
  };
  return { ran, full, read: () => summarize(count, (performance.now() - began) / 1000, []) };
};

const phases = {
  add: (peer: Peer, { ms }: Bounds) => addAll(peer, ms),
  drain: async (peer: Peer, { ms, count }: Bounds) => {
    await peer.addMany(count);
    const { ran, full, read } = counter(count);
    await peer.work(ran);
    // Several times as long: the slowest of them needs it, and what is left counts for nothing.
    await Promise.race([full, new Promise((resolve) => setTimeout(resolve, ms * 3))]);
    return read();
  },
  both: async (peer: Peer, { ms }: Bounds) => {
    const { ran, read } = counter(Infinity);
    await Promise.all([peer.work(ran), addAll(peer, ms)]);
    return read();
  },
};

process.once('message', ({ peer: name, phase, where, bounds }: PeerJob) => {
  const work = async (): Promise<PeerReply> => {
    const peer = await peers[name](where);
    try {
      return { measured: await phases[phase](peer, bounds) };
    } finally {
      await peer.close();
    }
  };
  void work()
    .catch((error: unknown): PeerReply => ({ error: String(error instanceof Error ? error.stack : error) }))
    .then((reply) => process.send?.(reply, () => process.exit()));
});
process.once('disconnect', () => process.exit());
