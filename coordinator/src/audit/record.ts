import type { Database } from '../db/database.ts';
import { type Principal, principalLabel } from '../principal.ts';

export type NewAudit = {
  action: string;
  entity: string;
  entity_id: number | null;
  details?: Record<string, unknown>;
};

/** Records an act of a person or token, in the transaction of the act. Secrets never belong in `details`. */
export const recordAudit = async (db: Database, principal: Principal, audit: NewAudit): Promise<void> => {
  const { action, entity, entity_id, details = {} } = audit;
  await db.sql`
    insert into audit_events (workspace_id, principal, action, entity, entity_id, details, request_id, created_at)
    values (${principal.workspace_id}, ${principalLabel(principal)}, ${action}, ${entity}, ${entity_id}, ${JSON.stringify(details)}::text::jsonb,
      ${principal.request_id ?? null}, flotilla_now())`;
};
