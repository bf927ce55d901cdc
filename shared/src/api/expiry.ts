import { z } from 'zod';

import { text, Timestamp } from './common.ts';
import { route } from './route.ts';

/** Whether leases may run out at all, over the whole installation. */
export const Expiry = z.object({
  /** Why nothing is requeued now: gap in service, clock step, mass silence. */
  suspended: z.object({ reason: z.string(), since: Timestamp.nullable(), until: Timestamp.nullable() }).nullable(),
  /** Daemon agents that fell silent lately, of how many that were heard of. */
  silent: z.int(),
  counted: z.int(),
});
export type Expiry = z.infer<typeof Expiry>;

export const expiryRoutes = {
  get: route({
    method: 'GET',
    path: '/expiry',
    tag: 'agents',
    summary: 'Whether tasks of silent agents are requeued right now, and if not, why',
    permission: 'agents:read',
    audience: 'person',
    status: 200,
    output: Expiry,
    errors: [],
  }),
  release: route({
    method: 'POST',
    aliases: ['PATCH'],
    path: '/expiry/release',
    tag: 'agents',
    summary: 'End a mass silence by hand: the silent hosts are dead, requeue what they held',
    description: 'Only operators of the first workspace may: it is about the whole installation.',
    permission: 'agents:operate',
    audience: 'person',
    body: z.strictObject({ reason: text(500).min(1) }),
    status: 200,
    output: Expiry,
    errors: ['invalid_transition', 'forbidden'],
  }),
};
