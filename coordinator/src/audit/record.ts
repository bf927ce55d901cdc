import type { Database } from '../db/database.ts';
import { type Principal, principalLabel } from '../principal.ts';

export type NewAudit = {
  action: string;
  entity: string;
  entity_id: number | null;
  details?: Record<string, unknown>;
};

/** Records acts of people and tokens, in the transaction of the acts. Secrets never belong in `details`. */
export const recordAudits = async (db: Database, acts: { principal: Principal; audit: NewAudit }[]): Promise<void> => {
  await db.sql`
    insert into audit_events (workspace_id, principal, action, entity, entity_id, details, request_id, created_at)
    select *, (select flotilla_now()) from unnest(${acts.map(({ principal }) => principal.workspace_id)}::bigint[],
      ${acts.map(({ principal }) => principalLabel(principal))}::text[], ${acts.map(({ audit }) => audit.action)}::text[],
      ${acts.map(({ audit }) => audit.entity)}::text[], ${acts.map(({ audit }) => audit.entity_id)}::bigint[],
      ${acts.map(({ audit }) => JSON.stringify(audit.details ?? {}))}::text[]::jsonb[],
      ${acts.map(({ principal }) => principal.request_id ?? null)}::text[])`;
};

export const recordAudit = (db: Database, principal: Principal, audit: NewAudit): Promise<void> =>
  recordAudits(db, [{ principal, audit }]);
