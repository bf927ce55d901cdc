import { createClient, group } from '@flotilla/shared';

import type { Deps, HostDeps } from './deps.ts';
import { openExecutor } from './executors/index.ts';
import { createLink } from './link.ts';
import { type Identity, readIdentity } from './local/identity.ts';
import { openJournal, readAttempts, readJsonFile } from './local/journal.ts';
import { openOutbox } from './local/outbox.ts';
import { registerHost } from './local/register.ts';
import { runAttempts } from './loops/attempts.ts';
import { runClaims } from './loops/claim.ts';
import { runDrain } from './loops/drain.ts';
import { type Pulse, runHeartbeat, sendBeat } from './loops/heartbeat.ts';
import { runWorkdirSweep } from './loops/workdirs.ts';
import { Applied, createStanding } from './standing.ts';
import { type Attempts, viewAttempt } from './task/attempt.ts';
import { readLease } from './task/lease.ts';
import { installShim } from './task/shim.ts';
import { createTransport } from './transport.ts';
import { VERSION } from './version.ts';

/** The last beat may take this long; agentd must be gone two seconds after SIGTERM whatever the coordinator does. */
const LAST_BEAT_MS = 1_000;

const replayAttempts = async (host: HostDeps): Promise<Attempts> => {
  const found = await readAttempts(host.paths, (key, error) =>
    host.log.error({ attempt: key, error: String(error) }, 'an attempt on disk cannot be read: moved to dead-letter'),
  );
  const attempts: Attempts = new Map();
  for (const attempt of found)
    attempts.set(attempt.key, viewAttempt(attempt, host.paths.mark, await readLease(host, attempt)));
  return attempts;
};

const logReady = ({ log, identity, config, executor, attempts }: Deps): void => {
  const { agent_id, name } = identity;
  const about = { version: VERSION, executor: executor.name, ...executor.about };
  log.info({ agent_id, name, ...about, url: config.url, held: attempts.size }, 'ready');
};

/**
 * The whole daemon: replay what the disk holds, join if this host has not, then beat, claim, run and deliver until the
 * signal aborts. An abort detaches: running attempts go on under their shims and are adopted by the next start.
 */
export const runAgent = async (
  host: HostDeps,
  onReady: (identity: Identity) => void,
  signal: AbortSignal,
): Promise<void> => {
  const { config, paths, log } = host;
  const { transport, close } = createTransport();
  let token: string | null = null;
  const client = createClient({
    base_url: config.url,
    token: () => token,
    transport,
    user_agent: `flotilla-agentd/${VERSION}`,
  });
  try {
    const executor = await openExecutor(config, paths);
    await openJournal(paths);
    await installShim(paths.shim);
    const attempts = await replayAttempts(host);
    const outbox = await openOutbox(paths);
    const standing = createStanding(await readJsonFile(paths.applied, Applied));
    const identity = (await readIdentity(paths)) ?? (await registerHost(host, client, executor, signal));
    if (identity === null) return;
    ({ token } = identity);
    const deps: Deps = { ...host, identity, client, executor, link: createLink(), standing, attempts, outbox };
    logReady(deps);
    onReady(identity);

    const pulse: Pulse = { instance_id: host.newId(), seq: 0, gone_since_ms: null };
    await group(
      {
        heartbeat: (inner) => runHeartbeat(deps, pulse, inner),
        claim: (inner) => runClaims(deps, inner),
        attempts: (inner) => runAttempts(deps, inner),
        drain: (inner) => runDrain(deps, inner),
        workdirs: (inner) => runWorkdirSweep(deps, inner),
      },
      signal,
    );
    // The heartbeat stops last: the coordinator must see "detached" before we vanish.
    log.info({ held: attempts.size }, 'detaching: running attempts go on and are adopted by the next start');
    await sendBeat(deps, pulse, { state: 'detached', deadline_ms: LAST_BEAT_MS, signal: new AbortController().signal });
  } finally {
    close();
  }
};
