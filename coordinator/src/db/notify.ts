import { every, retry } from '@flotilla/shared';
import { z } from 'zod';

import type { Deps } from '../deps.ts';
import { backgroundLoop } from '../operations/background.ts';
import type { Pool } from './client.ts';

const CHANNEL = 'flotilla';
/** One NOTIFY per commit would serialise commits; hints of 5 ms travel together. */
const COLLECT_MS = 5;

/**
 * Each coordinator says this often that it is there; who heard of no other for three times as long is alone, and wakes
 * nobody: not Postgres, not itself, for hints that it would be the only one to hear.
 */
const PRESENCE_MS = 5_000;

const Hints = z.object({
  from: z.string(),
  classes: z.array(z.tuple([z.number(), z.number()])).default([]),
  agents: z.array(z.number()).default([]),
  events: z.boolean().default(false),
});

/**
 * Carries hints between coordinators: "class c has n more tasks", "end the parked claim of agent a", "there are new
 * events". Losing one costs at most one rescan interval. Runs until the signal aborts.
 */
export const runNotifications = async (
  deps: Deps,
  pool: Pool,
  instance: string,
  signal: AbortSignal,
): Promise<void> => {
  let classes = new Map<number, number>();
  let agents = new Set<number>();
  let events = false;
  let timer: NodeJS.Timeout | null = null;
  let heard_at = -Infinity;
  const alone = () => performance.now() - heard_at > 3 * PRESENCE_MS;

  const send = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const payload = JSON.stringify({ from: instance, classes: [...classes], agents: [...agents], events });
    classes = new Map();
    agents = new Set();
    events = false;
    return pool`select pg_notify(${CHANNEL}, ${payload})`.then(
      () => {},
      (error: unknown) => deps.log.debug({ error }, 'hint not sent'),
    );
  };
  const soon = () => (timer ??= setTimeout(() => void send(), COLLECT_MS));

  const receive = (raw: string) => {
    const hints = Hints.safeParse(JSON.parse(raw));
    if (!hints.success || hints.data.from === instance) return;
    // It may have just started, and does not know of us.
    if (alone()) soon();
    heard_at = performance.now();
    for (const [id, count] of hints.data.classes) deps.hub.remote('work', id, count);
    for (const id of hints.data.agents) deps.hub.remote('interrupt', id);
    if (hints.data.events) deps.hub.remote('events');
  };

  deps.hub.onLocal('work', (id, count) => {
    if (alone()) return;
    // A NOTIFY payload holds 8000 bytes; beyond some hundred classes the rescan is soon enough.
    if (classes.size < 300) classes.set(id, (classes.get(id) ?? 0) + count);
    soon();
  });
  deps.hub.onLocal('interrupt', (id) => {
    if (alone()) return;
    if (agents.size < 300) agents.add(id);
    soon();
  });
  deps.hub.onLocal('events', () => {
    if (alone()) return;
    events = true;
    soon();
  });

  // Only the first LISTEN can fail: later the driver reconnects and listens again by itself.
  const listener = await retry(() => pool.listen(CHANNEL, receive), {
    signal,
    retryable: () => true,
    backoff: { min_ms: 200, max_ms: 5_000 },
    onRetry: (error) => deps.log.warn({ error }, 'cannot listen for hints yet; rescans do their work'),
  });
  await every(send, { name: 'presence', interval_ms: PRESENCE_MS, first_ms: 0, signal, ...backgroundLoop(deps) });
  if (timer !== null) clearTimeout(timer);
  await listener.unlisten().catch((error: unknown) => deps.log.debug({ error }, 'unlisten failed'));
};
