import type { CreateJoinToken, JoinToken } from '@flotilla/shared';
import type { z } from 'zod';

import { CliError } from '../../exit.ts';
import type { Session } from '../../session.ts';

export type IssuedToken = { id: number; token?: string | undefined; expires_at: string | null };

export const createJoinToken = (
  session: Session,
  body: z.input<typeof CreateJoinToken>,
): Promise<JoinToken & { token?: string | undefined }> =>
  session.client.join_tokens.create({ body }, session.creation());

/** An answer to a repeated request has no secret: the first answer got lost on its way, and the secret with it. */
export const requireSecret = ({ id, token }: IssuedToken): string => {
  if (token !== undefined) return token;
  throw new CliError('failed', `Token ${id} was created, but the answer with its secret got lost.`, {
    code: 'secret_lost',
    hint: `Revoke it (flotilla tokens revoke ${id}; a join token needs --join) and create another.`,
  });
};
