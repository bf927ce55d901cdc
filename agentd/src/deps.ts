import type { Client } from '@flotilla/shared';

import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { CrashPoint } from './crash-point.ts';
import type { Executor } from './executors/executor.ts';
import type { Host } from './host.ts';
import type { Link } from './link.ts';
import type { Identity } from './local/identity.ts';
import type { Outbox } from './local/outbox.ts';
import type { StatePaths } from './local/paths.ts';
import type { Logger } from './log.ts';
import type { Standing } from './standing.ts';
import type { Attempts } from './task/attempt.ts';

/** What is there before the host has an identity. */
export type HostDeps = {
  config: Config;
  paths: StatePaths;
  host: Host;
  clock: Clock;
  random: () => number;
  newId: () => string;
  log: Logger;
  crash: CrashPoint;
};

/** Everything the loops and the attempts work with. */
export type Deps = HostDeps & {
  identity: Identity;
  client: Client;
  executor: Executor;
  link: Link;
  standing: Standing;
  attempts: Attempts;
  outbox: Outbox;
};
