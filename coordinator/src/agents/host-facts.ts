import type { Beat } from '@flotilla/shared';

import type { Deps } from '../deps.ts';

type Known = {
  id: number;
  version: string | null;
  platform: string | null;
  slots_reported: number | null;
  executors: string[];
};

/** Slots, version and executors as a beat reports them; written only when they changed, so that beats never touch `agents`. */
export const applyHostFacts = async (deps: Deps, known: Known, beat: Beat): Promise<void> => {
  const version = beat.version ?? known.version;
  const platform = beat.platform ?? known.platform;
  const slots = beat.slots ?? known.slots_reported;
  const executors = beat.executors ?? known.executors;
  const same =
    version === known.version &&
    platform === known.platform &&
    slots === known.slots_reported &&
    executors.join() === known.executors.join();
  if (same) return;
  await deps.db.sql`
    update agents set version = ${version}, platform = ${platform}, slots_reported = ${slots}, executors = ${executors}::text[],
      updated_at = flotilla_now(), row_version = row_version + 1
    where id = ${known.id}`;
};
