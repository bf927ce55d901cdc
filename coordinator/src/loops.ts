import { group } from '@flotilla/shared';

import { sealLoop } from './audit/seal.ts';
import type { Deps } from './deps.ts';
import { sequencerLoop } from './events/sequencer.ts';
import { glanceLoop } from './tasks/claim/glance.ts';
import { dueLoop } from './tasks/expire/due.ts';
import { aliveLoop, expireLoop } from './tasks/expire/loop.ts';
import { confirmLoop } from './tokens/believed.ts';

/** The plain loops that every coordinator runs; each pass is short, and any coordinator may do the work of all. */
export const runLoops = (deps: Deps, signal: AbortSignal): Promise<void> =>
  group(
    {
      alive: (until) => aliveLoop(deps, until),
      expire: (until) => expireLoop(deps, until),
      due: (until) => dueLoop(deps, until),
      confirm: (until) => confirmLoop(deps, until),
      glance: (until) => glanceLoop(deps, until),
      sequencer: (until) => sequencerLoop(deps, until),
      seal: (until) => sealLoop(deps, until),
    },
    signal,
  );
