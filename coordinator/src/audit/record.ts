import type { Database } from '../db/database.ts';
import { type Principal, principalLabel } from '../principal.ts';

export type NewAudit = {
  action: string;
  entity: string;
  entity_id: number | null;
  details?: Record<string, unknown>;
};

/** Records an act of a person or a token, in the transaction of the act. Secrets never belong in `details`. */
export const recordAudit = async (db: Database, principal: Principal, audit: NewAudit): Promise<void> => {
  await db.sql`
    insert into audit_events (workspace_id, principal, action, entity, entity_id, details, request_id)
    values (${principal.workspace_id}, ${principalLabel(principal)}, ${audit.action}, ${audit.entity}, ${audit.entity_id},
      ${JSON.stringify(audit.details ?? {})}::text::jsonb, ${principal.request_id ?? null})`;
};
