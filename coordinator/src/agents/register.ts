import { AppError, type api, type RouteInput, type RouteOutput } from '@flotilla/shared';

import { recordAudit } from '../audit/record.ts';
import type { Sql } from '../db/client.ts';
import type { Deps } from '../deps.ts';
import { recordEvents } from '../events/record.ts';
import type { Principal } from '../principal.ts';
import { requirePermission } from '../principal.ts';
import { bindWaitingTasks, lockName } from '../tasks/bind.ts';
import { digestSecret, makeSecret } from '../tokens/secret.ts';
import { getAgent } from './queries.ts';
import { matchesPattern } from './name-pattern.ts';
import { readSpread, timingsOf } from './timings.ts';

type Body = RouteInput<typeof api.agents.register>['body'];
type ByHost = Extract<Body, { join_token: string }>;
type ByUser = Exclude<Body, ByHost>;
type Output = RouteOutput<typeof api.agents.register>;
/** `created` is false for a repetition: the same host, or the same poll-only agent, asked before. */
type Registered = { created: boolean; registration: Output };

type JoinTokenRow = {
  id: number;
  workspace_id: number;
  tags: string[];
  role: string;
  slots: number | null;
  name_pattern: string | null;
};

/** Registers a host by its one-time token, or a poll-only agent by a user's token. */
export const registerAgent = (deps: Deps, principal: Principal | null, { body }: { body: Body }): Promise<Registered> =>
  'join_token' in body ? registerHost(deps, body) : registerByUser(deps, principal, body);

const registerHost = (deps: Deps, body: ByHost): Promise<Registered> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    const digest = digestSecret(body.join_token);
    const given = body.agent_token_sha256 === undefined ? null : Buffer.from(body.agent_token_sha256, 'hex');
    // One conditional update: of concurrent uses one sees the unused row, the others wait for it and see it used.
    const [token] = await db.sql<JoinTokenRow[]>`
      update join_tokens set used_at = flotilla_now(), used_digest = ${given}
      where digest = ${digest} and used_at is null and revoked_at is null and expires_at > flotilla_now()
      returning id, workspace_id, tags, role, slots, name_pattern`;
    if (token === undefined) return registerAgain(inner, digest, given);
    if (token.name_pattern !== null && !matchesPattern(token.name_pattern, body.agent.name)) {
      throw new AppError('invalid_input', {
        sentence: `agent.name: this join token is for names like ${token.name_pattern}`,
      });
    }
    const agent_token = given === null ? makeSecret('fla_') : undefined;
    const agent_id = await insertAgent(inner, token, body.agent);
    const token_digest = given ?? digestSecret(agent_token ?? '');
    await db.sql`insert into agent_tokens (workspace_id, agent_id, digest) values (${token.workspace_id}, ${agent_id}, ${token_digest})`;
    await db.sql`update join_tokens set used_by_agent_id = ${agent_id} where id = ${token.id}`;
    return { created: true, registration: await answer(inner, token.workspace_id, agent_id, agent_token) };
  });

/** The same host asks again because the first answer was lost: same join token, same digest, same agent. */
const registerAgain = async (deps: Deps, digest: Uint8Array, given: Uint8Array | null): Promise<Registered> => {
  const [used] = await deps.db.sql<{ workspace_id: number; used_by_agent_id: number }[]>`
    select j.workspace_id, j.used_by_agent_id from join_tokens j join agents a on a.id = j.used_by_agent_id and a.deleted_at is null
    where j.digest = ${digest} and j.used_digest = ${given} and j.revoked_at is null`;
  if (used === undefined)
    throw new AppError('join_token_invalid', { hint: 'create a new one with `flotilla tokens create --join`' });
  return { created: false, registration: await answer(deps, used.workspace_id, used.used_by_agent_id) };
};

const registerByUser = (deps: Deps, principal: Principal | null, body: ByUser): Promise<Registered> =>
  deps.db.transaction(async (db) => {
    const inner = { ...deps, db };
    if (principal === null)
      throw new AppError('unauthenticated', {
        hint: 'send a join_token, or a user token to register an agent without a daemon',
      });
    requirePermission(principal, 'agents:operate');
    const { workspace_id } = principal;
    await lockName(db.sql, workspace_id, body.name, 'exclusive');
    const [existing] = await db.sql<{ id: number; kind: string }[]>`
      select id, kind from agents where workspace_id = ${workspace_id} and name = ${body.name} and deleted_at is null`;
    if (existing?.kind === 'daemon') throw nameTaken(body.name);
    if (existing !== undefined) return { created: false, registration: await answer(inner, workspace_id, existing.id) };
    const [row] = await db.sql<{ id: number }[]>`
      insert into agents (workspace_id, name, kind, role, workspace_paused)
      values (${workspace_id}, ${body.name}, 'poll', ${body.role}, ${isPaused(db.sql, workspace_id)})
      on conflict do nothing returning id`;
    if (row === undefined) throw nameTaken(body.name);
    const agent_token = makeSecret('fla_');
    await db.sql`insert into agent_tokens (workspace_id, agent_id, digest) values (${workspace_id}, ${row.id}, ${digestSecret(agent_token)})`;
    await announceAgent(inner, { id: row.id, workspace_id, name: body.name });
    await recordAudit(db, principal, {
      action: 'agent.register',
      entity: 'agent',
      entity_id: row.id,
      details: { name: body.name },
    });
    return { created: true, registration: await answer(inner, workspace_id, row.id, agent_token) };
  });

/** The agent of that name; one that only polls is registered when there is none. */
export const ensurePoller = async (deps: Deps, principal: Principal, name: string): Promise<number> => {
  const [known] = await deps.db.sql<{ id: number }[]>`
    select id from agents where workspace_id = ${principal.workspace_id} and name = ${name} and deleted_at is null`;
  if (known !== undefined) return known.id;
  const { registration } = await registerByUser(deps, principal, { name, role: 'agent' });
  return registration.agent.id;
};

/** Locks the workspace, so that an agent that registers during a pause is either seen by it or sees it. */
const isPaused = (sql: Sql, workspace_id: number) =>
  sql`(select paused_at is not null from workspaces where id = ${workspace_id} for share)`;

const insertAgent = async (deps: Deps, token: JoinTokenRow, host: ByHost['agent']): Promise<number> => {
  const ceiling = token.slots ?? 32;
  await lockName(deps.db.sql, token.workspace_id, host.name, 'exclusive');
  const [row] = await deps.db.sql<{ id: number }[]>`
    insert into agents (workspace_id, name, role, hostname, host_uid, platform, version, tags, reported_tags, metadata, executors,
      slots_ceiling, slots_default, slots_reported, workspace_paused)
    values (${token.workspace_id}, ${host.name}, ${token.role}, ${host.hostname ?? null}, ${host.host_uid ?? null}, ${host.platform ?? null},
      ${host.version ?? null}, ${token.tags}::text[], ${host.tags ?? []}::text[], ${JSON.stringify(host.metadata ?? {})}::text::jsonb,
      ${host.executors ?? []}::text[], ${ceiling}, ${token.slots ?? 1}, ${host.slots ?? null},
      ${isPaused(deps.db.sql, token.workspace_id)})
    on conflict do nothing returning id`;
  // The thrown error rolls the token's use back: a taken name burns nothing.
  if (row === undefined) throw nameTaken(host.name);
  await announceAgent(deps, { id: row.id, workspace_id: token.workspace_id, name: host.name });
  await recordAudit(
    deps.db,
    { kind: 'agent', id: row.id, name: host.name, role: 'agent', workspace_id: token.workspace_id },
    {
      action: 'agent.register',
      entity: 'agent',
      entity_id: row.id,
      details: { name: host.name, join_token_id: token.id },
    },
  );
  return row.id;
};

const announceAgent = async (deps: Deps, agent: { id: number; workspace_id: number; name: string }): Promise<void> => {
  await recordEvents(deps.db, [
    {
      type: 'agent.created',
      entity_id: agent.id,
      workspace_id: agent.workspace_id,
      version: 1,
      agent_id: agent.id,
      summary: { name: agent.name },
    },
  ]);
  await bindWaitingTasks(deps, agent);
  deps.db.afterCommit(() => deps.hub.raise('unsequenced'));
};

const answer = async (deps: Deps, workspace_id: number, agent_id: number, agent_token?: string): Promise<Output> => {
  const self = { kind: 'agent', id: agent_id, name: '', role: 'agent', workspace_id } as const;
  return {
    agent: await getAgent(deps, self, agent_id),
    ...(agent_token === undefined ? {} : { agent_token }),
    timings: timingsOf(deps, await readSpread(deps.db.sql)),
  };
};

const nameTaken = (name: string): AppError =>
  new AppError('name_taken', {
    sentence: `agent.name: ${name} is already registered in this workspace`,
    hint: 'choose another name (FLOTILLA_AGENT_NAME), or delete the old agent first',
  });
