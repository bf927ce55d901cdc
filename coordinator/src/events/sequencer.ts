import type { Deps } from '../deps.ts';
import { hintedLoop } from '../operations/background.ts';

/** Batches per pass. */
const MOST = 1_000;
/**
 * Verbs raise a hint per commit; those of 5 ms are sequenced together, and under load those of 20 ms: a pass costs as much
 * as a batch of claims.
 */
const COLLECT_MS = { calm: 5, busy: 20 };
/** So many transactions in one pass are load. */
const BUSY = 8;

/**
 * One pass of the sequencer: answers how many transactions' events got their positions. None when another coordinator
 * holds it: that one does the work. A single call (drizzle/0009): one round trip.
 */
export const sequence = async ({ db: { sql }, hub }: Deps): Promise<number> => {
  const [row] = await sql<{ placed: number }[]>`select flotilla_sequence(${MOST}) as placed`;
  const placed = row?.placed ?? 0;
  if (placed > 0) hub.raise('events');
  return placed;
};

/** Sequences on a hint, soon (under load a little later), or every second, whatever was missed. */
export const sequencerLoop = (deps: Deps, signal: AbortSignal): Promise<void> => {
  let placed = 0;
  const work = async () => {
    do placed = await sequence(deps);
    while (placed >= MOST);
  };
  const collect_ms = () => (placed < BUSY ? COLLECT_MS.calm : COLLECT_MS.busy);
  return hintedLoop(deps, { name: 'sequencer', hint: 'unsequenced', look_ms: 1_000, collect_ms }, work, signal);
};
