import { sql } from 'drizzle-orm';
import {
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  unique,
  uniqueIndex,
} from 'drizzle-orm/pg-core';

import { bytea, id, ref, timestamptz } from './columns.ts';
import { workspaces } from './tenancy.ts';

const now = sql`flotilla_now()`;

/**
 * What is desired of an agent and what identifies it. Claim, drain, disable and delete lock this row; nothing periodic
 * writes it (beats go to `agent_beats`).
 */
export const agents = pgTable(
  'agents',
  {
    id: id(),
    workspace_id: ref()
      .notNull()
      .references(() => workspaces.id),
    name: text().notNull(),
    kind: text().notNull().default('daemon'),
    role: text().notNull().default('agent'),
    hostname: text(),
    host_uid: text(),
    platform: text(),
    version: text(),
    tags: text().array().notNull().default([]),
    reported_tags: text().array().notNull().default([]),
    metadata: jsonb().notNull().default({}),
    /** Empty: unknown, anything may be tried (poll-only agents). */
    executors: text().array().notNull().default([]),
    slots_ceiling: integer().notNull().default(32),
    slots_default: integer().notNull().default(1),
    slots_reported: integer(),
    eligibility: text().notNull().default('eligible'),
    eligibility_generation: integer().notNull().default(0),
    drain_deadline: timestamptz(),
    drain_on_deadline: text(),
    drain_reason: text(),
    drain_requested_at: timestamptz(),
    /** A copy of "its workspace is paused": claim reads it under the lock that it takes on this row anyway. */
    workspace_paused: boolean().notNull().default(false),
    restart_generation: integer().notNull().default(0),
    token_generation: integer().notNull().default(0),
    disabled_at: timestamptz(),
    deleted_at: timestamptz(),
    created_at: timestamptz().notNull().default(now),
    updated_at: timestamptz().notNull().default(now),
    row_version: integer().notNull().default(1),
  },
  (t) => [
    unique('agents_in_workspace').on(t.workspace_id, t.id),
    uniqueIndex('agents_name')
      .on(t.workspace_id, t.name)
      .where(sql`deleted_at is null`),
    check('agents_eligibility', sql`eligibility in ('eligible', 'ineligible')`),
    check('agents_kind', sql`kind in ('daemon', 'poll')`),
  ],
);

export const agent_tokens = pgTable(
  'agent_tokens',
  {
    id: id(),
    workspace_id: ref().notNull(),
    agent_id: ref().notNull(),
    digest: bytea().notNull().unique(),
    last_used_at: timestamptz(),
    revoked_at: timestamptz(),
    created_at: timestamptz().notNull().default(now),
  },
  (t) => [
    index('agent_tokens_agent').on(t.workspace_id, t.agent_id),
    foreignKey({ columns: [t.workspace_id, t.agent_id], foreignColumns: [agents.workspace_id, agents.id] }),
  ],
);

/** Observed state: one row per agent, rewritten by every beat, never by anything else. No index but its key: HOT updates. */
export const agent_beats = pgTable(
  'agent_beats',
  {
    agent_id: ref().primaryKey(),
    workspace_id: ref().notNull(),
    last_heartbeat_at: timestamptz().notNull(),
    instance_id: text(),
    /** The process that this one took over from: when it beats again, two run as one agent. */
    superseded_instance_id: text(),
    boot_id: text(),
    machine_id: text(),
    seq: ref().notNull().default(0),
    state: text().notNull().default('running'),
    isolation: text(),
    eligibility_generation: integer().notNull().default(0),
    observed: jsonb().notNull().default({}),
  },
  (t) => [foreignKey({ columns: [t.workspace_id, t.agent_id], foreignColumns: [agents.workspace_id, agents.id] })],
);
