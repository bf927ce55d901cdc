import type fc from 'fast-check';

import type * as model from '../model.ts';
import { beat, claim, crash, duplicate, late, report, start, unclaim } from './agent.ts';
import type { Real } from './command.ts';
import { approve, cancel, create, drain, reject, release, resume, retry } from './person.ts';
import { pass, wear } from './time.ts';

export type { Real } from './command.ts';

/** What may happen, some of it more often than the rest. */
export const commands: fc.Arbitrary<fc.AsyncCommand<model.Model, Real>>[] = [
  create,
  create,
  claim,
  claim,
  claim,
  beat,
  start,
  report,
  duplicate,
  late,
  wear,
  wear,
  unclaim,
  cancel,
  retry,
  release,
  approve,
  reject,
  drain,
  resume,
  resume,
  crash,
  pass,
  pass,
];
