import { Logger, makeWorkerUtils, run, type Runner } from 'graphile-worker';

import { CONCURRENCY, type OpenPeer } from './peer.ts';

const quiet = new Logger(() => () => {});

/** With its local queue (one statement fetches many) and batched completion, as its performance chapter advises. */
export const graphileWorker: OpenPeer = async ({ facts }) => {
  const { host, port, user, database } = facts;
  const connectionString = `postgres://${user}@/${database}?host=${encodeURIComponent(host)}&port=${port}`;
  const preset = {
    worker: {
      connectionString,
      maxPoolSize: 20,
      concurrentJobs: CONCURRENCY,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  };
  const utils = await makeWorkerUtils({ preset, logger: quiet });
  await utils.migrate();
  let runner: Runner | null = null;
  return {
    add: () => utils.addJob('trivial', {}),
    addMany: async (count) => {
      await utils.withPgClient((client) =>
        client.query(
          "select graphile_worker.add_jobs(array(select ('trivial', '{}', null, null, null, null, null, null)::graphile_worker.job_spec from generate_series(1, $1)))",
          [count],
        ),
      );
    },
    work: async (ran) => {
      runner = await run({ preset, logger: quiet, taskList: { trivial: () => ran() }, noHandleSignals: true });
    },
    close: async () => {
      await runner?.stop();
      await utils.release();
    },
  };
};
