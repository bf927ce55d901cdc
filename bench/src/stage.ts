import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { type Client, createClient } from '@flotilla/shared';
import postgres from 'postgres';

import { ADMIN_TOKEN, type CoordinatorOptions, makeFolder, postgresOf, startCoordinator } from './coordinator.ts';
import type { Facts } from './facts.ts';
import type { Caller } from './load/ask.ts';
import type { Scope } from './scope.ts';

/** A coordinator of its own, a way into its database, and agents that never run anything. */
export type Stage = {
  url: string;
  admin: Caller;
  client: Client;
  pid: number;
  facts: Facts;
  sql: postgres.Sql;
  /** Agents that may run this many tasks each; those that exist already come first. */
  agents(count: number, tags?: string[]): Promise<Caller[]>;
};

/** More than a run claims for one agent. */
const SLOTS = 1_000;

const registerAgent = async (client: Client, joining: Client, tags: string[]): Promise<Caller> => {
  const name = `bench-${randomUUID()}`;
  const { token = '' } = await client.join_tokens.create({ body: { slots: SLOTS, tags } });
  const { agent, agent_token = '' } = await joining.agents.register({
    body: { join_token: token, agent: { name, slots: SLOTS } },
  });
  return { id: agent.id, token: agent_token };
};

export const createRoster = (url: string, client: Client): Stage['agents'] => {
  const joining = createClient({ base_url: url, token: null });
  const byTags = new Map<string, Caller[]>();
  return async (count, tags = []) => {
    const made = byTags.get(tags.join()) ?? [];
    byTags.set(tags.join(), made);
    while (made.length < count) {
      const lot = Array.from({ length: Math.min(32, count - made.length) }, () => registerAgent(client, joining, tags));
      made.push(...(await Promise.all(lot)));
    }
    return made.slice(0, count);
  };
};

export const openStage = async (scope: Scope, options: CoordinatorOptions = {}): Promise<Stage> => {
  const data_dir = join(await makeFolder(scope), 'data');
  const { url, pid } = await startCoordinator(scope, data_dir, options);
  const facts = await postgresOf(data_dir);
  const sql = postgres({
    ...facts,
    max: 2,
    onnotice: () => {},
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
  });
  scope.defer(() => sql.end({ timeout: 5 }));
  const client = createClient({ base_url: url, token: ADMIN_TOKEN });
  return { url, admin: { id: 0, token: ADMIN_TOKEN }, client, pid, facts, sql, agents: createRoster(url, client) };
};
