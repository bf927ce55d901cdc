import { sql } from 'drizzle-orm';
import { boolean, index, integer, jsonb, pgTable, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core';

import { bytea, id, ref, timestamptz } from './columns.ts';

const now = sql`flotilla_now()`;

export const workspaces = pgTable('workspaces', {
  id: id(),
  slug: text().notNull().unique(),
  name: text().notNull(),
  created_at: timestamptz().notNull().default(now),
  paused_at: timestamptz(),
  paused_by: text(),
  pause_reason: text(),
});

/** Facts of the installation: the attempt-token key and the like. */
export const settings = pgTable('settings', { key: text().primaryKey(), value: jsonb().notNull() });

/** One row: the memory of service gaps and of mass silence that guards lease expiry. */
export const service = pgTable('service', {
  one: boolean().primaryKey().default(true),
  alive_at: timestamptz().notNull().default(now),
  expiry_suspended_until: timestamptz(),
  suspended_reason: text(),
  mass_silence_since: timestamptz(),
  mass_silence_released_at: timestamptz(),
});

export const api_tokens = pgTable(
  'api_tokens',
  {
    id: id(),
    workspace_id: ref()
      .notNull()
      .references(() => workspaces.id),
    name: text().notNull(),
    role: text().notNull(),
    digest: bytea().notNull().unique(),
    expires_at: timestamptz(),
    last_used_at: timestamptz(),
    revoked_at: timestamptz(),
    created_by: text().notNull(),
    created_at: timestamptz().notNull().default(now),
  },
  (t) => [
    uniqueIndex('api_tokens_name')
      .on(t.workspace_id, t.name)
      .where(sql`revoked_at is null`),
  ],
);

export const join_tokens = pgTable(
  'join_tokens',
  {
    id: id(),
    workspace_id: ref()
      .notNull()
      .references(() => workspaces.id),
    digest: bytea().notNull().unique(),
    tags: text().array().notNull(),
    role: text().notNull(),
    slots: integer(),
    name_pattern: text(),
    expires_at: timestamptz().notNull(),
    used_at: timestamptz(),
    used_by_agent_id: ref(),
    /** Digest the host registered with: the same host may ask again after a lost answer. */
    used_digest: bytea(),
    revoked_at: timestamptz(),
    created_by: text().notNull(),
    created_at: timestamptz().notNull().default(now),
  },
  (t) => [index('join_tokens_workspace').on(t.workspace_id, t.id)],
);

export const idempotency_keys = pgTable(
  'idempotency_keys',
  {
    workspace_id: ref()
      .notNull()
      .references(() => workspaces.id),
    principal: text().notNull(),
    key: text().notNull(),
    route: text().notNull(),
    body_digest: bytea().notNull(),
    response: jsonb(),
    created_at: timestamptz().notNull().default(now),
  },
  (t) => [
    primaryKey({ columns: [t.workspace_id, t.principal, t.key] }),
    index('idempotency_keys_age').on(t.created_at),
  ],
);
