import { every } from '@flotilla/shared';

import type { Deps } from '../deps.ts';
import { backgroundLoop } from '../operations/background.ts';
import type { Principal } from '../principal.ts';
import { findPrincipals } from './find-principals.ts';

/** How long a token may be believed without asking the database: other coordinators see a revocation this late. */
const BELIEVE_MS = 5_000;
/** Sooner than that, whoever is still there is asked after: many at once, not each by the request that needs it. */
const CONFIRM_MS = 4_000;
/** Whoever did not call for so long is forgotten; agents beat more often. */
const IDLE_MS = 45_000;
const MAX_BELIEVED = 20_000;
/** What one look asks after; more would hold up others who wait for this thread. */
const LOT = 500;

type Belief = { principal: Principal; until: number; used_at: number };

/** Which tokens this coordinator believes without asking again, by digest. */
export type Believed = {
  find(key: string): Principal | null;
  /** How often all were dropped. Who asks the database takes this first: what was read before a drop is not believed. */
  drops(): number;
  /** Believes it until the next look is due; without a principal it does not exist any more. */
  keep(key: string, principal: Principal | null, drops: number): void;
  /** Those that were used of late; the others are forgotten. */
  used(): string[];
  /** Drops them all: something was revoked, disabled or deleted. */
  forget(): void;
};

export const createBelieved = (): Believed => {
  const beliefs = new Map<string, Belief>();
  let drops = 0;
  return {
    find: (key) => {
      const found = beliefs.get(key);
      if (found === undefined) return null;
      found.used_at = performance.now();
      return found.until < found.used_at ? null : found.principal;
    },
    drops: () => drops,
    keep: (key, principal, drops_before) => {
      if (drops_before !== drops) return;
      const now = performance.now();
      const used_at = beliefs.get(key)?.used_at ?? now;
      if (beliefs.size >= MAX_BELIEVED) beliefs.clear();
      if (principal === null) beliefs.delete(key);
      else beliefs.set(key, { principal, until: now + BELIEVE_MS, used_at });
    },
    used: () => {
      const since = performance.now() - IDLE_MS;
      for (const [key, { used_at }] of beliefs) if (used_at < since) beliefs.delete(key);
      return [...beliefs.keys()];
    },
    forget: () => {
      drops += 1;
      beliefs.clear();
    },
  };
};

/** Asks after all that are believed. A fleet beats every 10 s: without this every beat would ask for itself. */
export const confirmBelieved = async (deps: Deps): Promise<void> => {
  const keys = deps.believed.used();
  for (let at = 0; at < keys.length; at += LOT) {
    const lot = keys.slice(at, at + LOT);
    const drops = deps.believed.drops();
    const principals = await findPrincipals(deps, lot);
    for (const [index, key] of lot.entries()) deps.believed.keep(key, principals[index] ?? null, drops);
  }
};

export const confirmLoop = (deps: Deps, signal: AbortSignal): Promise<void> =>
  every(() => confirmBelieved(deps), {
    name: 'confirm',
    interval_ms: CONFIRM_MS,
    signal,
    ...backgroundLoop(deps),
  });
