import PgBoss from 'pg-boss';

import { CONCURRENCY, type OpenPeer } from './peer.ts';

const LOT = 1_000;
/** Fetched and completed in one statement each: it runs a batch, not single jobs, so there is no other concurrency. */
const BATCH = 500;

/**
 * Left alone it polls; told of new work, and to look again after each batch, it does not wait. Its supervision is off, for
 * nothing here lasts long enough to need it.
 */
export const pgBoss: OpenPeer = async ({ facts }) => {
  const boss = new PgBoss({ ...facts, max: 20, supervise: false, schedule: false });
  boss.on('error', (error: unknown) => console.error(error));
  await boss.start();
  await boss.createQueue('bench');
  const workers: string[] = [];
  let next = 0;
  const notify = () => {
    const id = workers[(next += 1) % workers.length];
    if (id !== undefined) boss.notifyWorker(id);
  };
  return {
    add: async () => {
      await boss.send('bench', {});
      notify();
    },
    addMany: async (count) => {
      for (let added = 0; added < count; added += LOT)
        await boss.insert(Array.from({ length: Math.min(LOT, count - added) }, () => ({ name: 'bench', data: {} })));
    },
    work: async (ran) => {
      // Some batches at a time, so that one is fetched while another is completed.
      for (let n = 0; n < CONCURRENCY / 10; n++) {
        const options = { batchSize: BATCH, pollingIntervalSeconds: 0.5 };
        const id: string = await boss.work('bench', options, async (jobs) => {
          for (const _ of jobs) ran();
          boss.notifyWorker(id);
        });
        workers.push(id);
      }
    },
    close: () => boss.stop({ graceful: false, wait: true }),
  };
};
