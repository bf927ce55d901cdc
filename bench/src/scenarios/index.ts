import type { Scenario } from '../bench.ts';
import { agentd } from './agentd.ts';
import { claims } from './claims.ts';
import { coordinators } from './coordinators.ts';
import { dispatch } from './dispatch.ts';
import { logs } from './logs.ts';
import { memory } from './memory.ts';
import { peers } from './peers.ts';
import { requests } from './requests.ts';
import { starts } from './starts.ts';
import { stream } from './stream.ts';

/** In the order in which they run. */
export const scenarios: Record<string, Scenario> = {
  claims,
  requests,
  dispatch,
  stream,
  coordinators,
  logs,
  memory,
  agentd,
  starts,
  peers,
};
