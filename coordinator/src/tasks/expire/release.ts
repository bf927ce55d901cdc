import { type api, AppError, type Expiry, type RouteInput } from '@flotilla/shared';

import { recordAudit } from '../../audit/record.ts';
import type { Deps } from '../../deps.ts';
import type { Principal } from '../../principal.ts';
import { FIRST_WORKSPACE } from '../../workspaces/first.ts';
import { readExpiry } from './suspension.ts';

/** An operator says that the silent hosts are dead: what they held is requeued although so many fell silent at once. */
export const releaseMassSilence = (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.expiry.release>,
): Promise<Expiry> =>
  deps.db.transaction(async (db) => {
    if (principal.workspace_id !== FIRST_WORKSPACE)
      throw new AppError('forbidden', {
        sentence: 'The silence is of the whole installation: only operators of the first workspace may end it.',
      });
    const released = await db.sql`
      update service set mass_silence_released_at = flotilla_now() where mass_silence_since is not null returning 1`;
    if (released.length === 0)
      throw new AppError('invalid_transition', { sentence: 'There is no mass silence; nothing is held up by one.' });
    await recordAudit(db, principal, {
      action: 'expiry.release',
      entity: 'service',
      entity_id: null,
      details: { reason: body.reason },
    });
    return readExpiry({ ...deps, db });
  });
