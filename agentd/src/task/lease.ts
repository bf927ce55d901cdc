import { writeFile } from 'node:fs/promises';

import { z } from 'zod';

import { momentNow } from '../clock.ts';
import type { Deps, HostDeps } from '../deps.ts';
import { type FoundAttempt, MomentFile } from '../local/journal.ts';
import { readIfPresent } from '../local/files.ts';
import { type Attempt, renewedAt } from './attempt.ts';

/** How long before its lease ends a `fence` attempt is killed: nobody else may start before it is gone. */
const FENCE_MARGIN_MS = 5_000;

const LeaseFile = z.object({ renewed_at: MomentFile, lease_ms: z.number() });

/** When the attempt's lease was last renewed, as far as the disk knows. */
export const readLease = async (
  { clock, host }: HostDeps,
  { files, record }: FoundAttempt,
): Promise<Attempt['lease']> => {
  const raw = await readIfPresent(files.lease);
  let json: unknown = null;
  try {
    json = JSON.parse(raw ?? 'null');
  } catch {
    // Written without sync, so half of it is possible; the claim is then the last renewal known.
  }
  const parsed = LeaseFile.safeParse(json);
  const { renewed_at, lease_ms } = parsed.success
    ? parsed.data
    : { renewed_at: record.claimed_at, lease_ms: record.task.lease_ms };
  return { renewed_at_ms: renewedAt(renewed_at, clock, host.boot_id), lease_ms };
};

/** A beat sent at `sent_at_ms` renewed the lease: it counts from the sending, which is never too late. */
export const renewLease = async (
  { clock, host }: Deps,
  attempt: Attempt,
  sent_at_ms: number,
  lease_ms: number | null,
): Promise<void> => {
  attempt.lease = { renewed_at_ms: sent_at_ms, lease_ms: lease_ms ?? attempt.lease.lease_ms };
  if (attempt.record.task.on_host_loss !== 'fence' || attempt.phase === 'acked') return;
  const now = momentNow(clock, host.boot_id);
  const age_ms = now.uptime_ms - sent_at_ms;
  const renewed_at = { ...now, uptime_ms: sent_at_ms, wall_ms: now.wall_ms - age_ms };
  // Not synced: after a power cut there is nothing left to fence. A directory just removed is no error.
  await writeFile(attempt.files.lease, JSON.stringify({ renewed_at, lease_ms: attempt.lease.lease_ms })).catch(
    () => {},
  );
};

/** True when a `fence` attempt must die now because nobody renewed its lease. */
export const mustFence = ({ clock }: Deps, { record, lease }: Attempt): boolean =>
  record.task.on_host_loss === 'fence' && clock.uptime_ms() - lease.renewed_at_ms > lease.lease_ms - FENCE_MARGIN_MS;
