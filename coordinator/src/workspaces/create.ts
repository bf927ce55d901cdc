import { type api, AppError, type RouteInput, type RouteOutput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Deps } from '../deps.ts';
import type { Principal } from '../principal.ts';
import { FIRST_WORKSPACE } from './first.ts';
import { readWorkspace } from './queries.ts';
import { digestSecret, makeSecret } from '../tokens/secret.ts';

/** Creates a tenant and the admin token that opens it. Only admins of the first workspace may. */
export const createWorkspace = (
  deps: Deps,
  principal: Principal,
  { body }: RouteInput<typeof api.workspaces.create>,
): Promise<RouteOutput<typeof api.workspaces.create>> =>
  deps.db.transaction(async (db) => {
    const { sql } = db;
    if (principal.workspace_id !== FIRST_WORKSPACE) {
      throw new AppError('forbidden', { sentence: 'Only admins of the first workspace may create workspaces.' });
    }
    const [workspace] = await sql<{ id: number }[]>`
      insert into workspaces (slug, name) values (${body.slug}, ${body.name ?? body.slug}) on conflict do nothing returning id`;
    if (workspace === undefined)
      throw new AppError('name_taken', { sentence: `slug: a workspace ${body.slug} exists` });
    const token = makeSecret('flu_');
    await sql`
      insert into api_tokens (workspace_id, name, role, digest, created_by)
      values (${workspace.id}, 'admin', 'admin', ${digestSecret(token)}, ${`workspace:${principal.workspace_id}`})`;
    await recordAudit(db, principal, {
      action: 'workspace.create',
      entity: 'workspace',
      entity_id: workspace.id,
      details: { slug: body.slug },
    });
    return { ...(await readWorkspace({ ...deps, db }, workspace.id)), token };
  });
