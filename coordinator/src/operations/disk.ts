import { statfs } from 'node:fs/promises';

import { AppError } from '@flotilla/shared';

import type { Config } from '../config.ts';
import type { Deps } from '../deps.ts';

/** So long what was seen of a disk with room counts. One that is short is looked at every time: room made is room used. */
const SEEN_MS = 1_000;

/** Whether the disk of the bundled Postgres is nearly full. An external one has its own operator to watch its disk. */
export type IsDiskLow = () => Promise<boolean>;

export const createIsDiskLow = (config: Config): IsDiskLow => {
  if (config.DATABASE_URL !== undefined) return () => Promise.resolve(false);
  let fine_until = -Infinity;
  return async () => {
    if (performance.now() < fine_until) return false;
    const { bavail, blocks } = await statfs(config.FLOTILLA_DATA_DIR);
    const low = bavail < (blocks * config.FLOTILLA_MIN_FREE_PERCENT) / 100;
    if (!low) fine_until = performance.now() + SEEN_MS;
    return low;
  };
};

/** Refuses new work while there is still room for the results of what runs. */
export const requireRoomForWork = async ({ isDiskLow, config }: Deps): Promise<void> => {
  if (!(await isDiskLow())) return;
  throw new AppError('disk_full', {
    sentence: `Less than ${config.FLOTILLA_MIN_FREE_PERCENT} % of the coordinator's disk is free: it takes results, but no new tasks.`,
    hint: 'free some of it, or give the coordinator a larger disk',
  });
};
