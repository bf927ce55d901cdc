import { randomBytes } from 'node:crypto';

import { z } from 'zod';

import { readIfPresent, writeDurable } from './files.ts';
import { readJsonFile, writeJsonFile } from './journal.ts';
import type { StatePaths } from './paths.ts';

/** `identity.json`: who this host is to its coordinator. */
export const Identity = z.object({ url: z.string(), agent_id: z.int(), name: z.string(), token: z.string() });
export type Identity = z.infer<typeof Identity>;

/** The identity of an earlier registration, or null. */
export const readIdentity = (paths: StatePaths): Promise<Identity | null> => readJsonFile(paths.identity, Identity);

/** Writes the identity so that it survives a power cut. */
export const writeIdentity = (paths: StatePaths, identity: Identity): Promise<void> =>
  writeJsonFile(paths.identity, identity);

/**
 * The secret this host made for itself, durable before anybody hears of it: when the answer to the registration is
 * lost, the same secret registers again.
 */
export const ensureSecret = async (paths: StatePaths): Promise<string> => {
  const present = (await readIfPresent(paths.secret))?.trim();
  if (present !== undefined && present.length >= 43) return present;
  const secret = `fla_${randomBytes(32).toString('base64url')}`;
  await writeDurable(paths.secret, `${secret}\n`);
  return secret;
};
