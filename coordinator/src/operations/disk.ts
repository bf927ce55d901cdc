import { statfs } from 'node:fs/promises';

import { AppError } from '@flotilla/shared';

import type { Config } from '../config.ts';
import type { Deps } from '../deps.ts';

/** So long what was seen of a disk with room counts. One that is short is looked at every time: room made is room used. */
const SEEN_MS = 1_000;

/** Room on the disk of the bundled Postgres; null for an external one, whose own operator watches its disk. */
export const readRoom = async (config: Config): Promise<{ bytes: number; percent: number } | null> => {
  if (config.DATABASE_URL !== undefined) return null;
  const { bavail, blocks, bsize } = await statfs(config.FLOTILLA_DATA_DIR);
  return { bytes: bavail * bsize, percent: (bavail / blocks) * 100 };
};

/** Whether that disk is nearly full. */
export type IsDiskLow = () => Promise<boolean>;

export const createIsDiskLow = (config: Config): IsDiskLow => {
  let fine_until = -Infinity;
  return async () => {
    if (performance.now() < fine_until) return false;
    const room = await readRoom(config);
    const low = room !== null && room.percent < config.FLOTILLA_MIN_FREE_PERCENT;
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
