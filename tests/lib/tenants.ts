import { type Client, permissionsByRole, type Role } from '@flotilla/shared';

import { ADMIN_TOKEN } from './coordinator.ts';
import { clientFor } from './fleet.ts';

/** A workspace with one of everything that has an id, and a token of every role. */
export type Tenant = {
  client: Client;
  tokens: Record<Role, string>;
  /** By the first part of a path: what `:id` means there. */
  ids: Record<string, number>;
  task: { running: number; epoch: number; attempt_id: number; queued: number };
  /** A word that is in every text of this tenant and nowhere else. */
  mark: string;
};

const required = (token: string | undefined): string => {
  if (token === undefined) throw new Error('the answer has no token');
  return token;
};

export const createTenant = async (base_url: string, slug: string | null): Promise<Tenant> => {
  const first = clientFor(base_url, ADMIN_TOKEN);
  const admin = slug === null ? ADMIN_TOKEN : required((await first.workspaces.create({ body: { slug } })).token);
  const client = clientFor(base_url, admin);
  const mark = `zebra-${slug ?? 'first'}`;

  const viewer = await client.api_tokens.create({ body: { name: `${mark}-viewer`, role: 'viewer' } });
  const operator = await client.api_tokens.create({ body: { name: `${mark}-operator`, role: 'operator' } });
  const join_token = await client.join_tokens.create({ body: { tags: [mark] } });
  const { token: used = '' } = await client.join_tokens.create({ body: { tags: [mark] } });
  const host = { name: mark, slots: 4 };
  const agent = await client.agents.register({ body: { join_token: used, agent: host } });
  const agent_token = required(agent.agent_token);

  const running = await client.tasks.create({ body: { title: `${mark} runs`, required_tags: [mark] } });
  const { tasks } = await clientFor(base_url, agent_token).tasks.claim({ body: { slots: 1 } });
  const claimed = tasks[0];
  if (claimed?.id !== running.id) throw new Error('the tenant could not claim its own task');
  const { workspace } = await client.workspaces.me();
  const { agent: poller } = await client.agents.register({ body: { name: `${mark}-by-hand` } });
  await client.tasks.create({ body: { title: `${mark} is polled`, assigned_to: poller.name } });
  const polled = await client.tasks.queue({ query: { agent: poller.name } });
  const queued = await client.tasks.create({ body: { title: `${mark} waits`, status: 'backlog' } });

  return {
    client,
    tokens: {
      viewer: required(viewer.token),
      operator: required(operator.token),
      admin,
      agent: agent_token,
      attempt: claimed.attempt_token,
      polled_attempt: required(polled.task?.attempt_token),
    },
    ids: {
      workspaces: workspace.id,
      tasks: running.id,
      agents: agent.agent.id,
      join_tokens: join_token.id,
      api_tokens: viewer.id,
    },
    task: { running: running.id, epoch: claimed.epoch, attempt_id: claimed.attempt_id, queued: queued.id },
    mark,
  };
};

export const roles = Object.keys(permissionsByRole) as Role[]; // the keys of a literal
