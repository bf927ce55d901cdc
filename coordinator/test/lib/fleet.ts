import { createHash, randomBytes } from 'node:crypto';

import type { Agent, Attempt, Beat, BeatAnswer, ClaimedTask, Client, CreateTask, Task } from '@flotilla/shared';

import type { TestApp } from './app.ts';

let counter = 0;
/** A name that no other test of this process has. */
export const freshName = (prefix: string): string => `${prefix}-${++counter}`;

type Usage = NonNullable<Parameters<Client['tasks']['complete']>[0]['body']>['usage'];
export type Held = Pick<ClaimedTask, 'id' | 'epoch'>;

export type TestAgent = {
  id: number;
  name: string;
  token: string;
  client: Client;
  claim(slots?: number, more?: { wait_s?: number; claim_id?: string }, signal?: AbortSignal): Promise<ClaimedTask[]>;
  /** Claims one task; throws when there is none. */
  claimOne(): Promise<ClaimedTask>;
  beat(held?: readonly Held[], more?: Partial<Beat>): Promise<BeatAnswer>;
  start(task: Held): Promise<null>;
  complete(
    task: Held,
    more?: { resolution?: string; log_sizes?: { stdout?: number; stderr?: number }; usage?: Usage },
  ): Promise<{ status: string }>;
  fail(
    task: Held,
    more?: { retryable?: boolean; kind?: string; message?: string; retry_after_s?: number },
  ): Promise<{ status: string }>;
  unclaim(task: Held, more?: { retry_after_s?: number }): Promise<null>;
  ask(task: Held, question?: string): Promise<{ status: string }>;
  log(
    task: Held,
    offset: number,
    chunk: string | Uint8Array,
    stream?: 'stdout' | 'stderr',
  ): Promise<{ next_offset: number }>;
};

export type AgentOptions = {
  name?: string;
  slots?: number;
  tags?: string[];
  executors?: string[];
  /** Beat once, so that it counts as online. */
  online?: boolean;
};

export type TestWorkspace = {
  id: number;
  token: string;
  /** An admin of this workspace. */
  admin: Client;
  agent(options?: AgentOptions): Promise<TestAgent>;
  /** A poll-only agent, registered with a user's token. */
  pollAgent(name?: string): Promise<TestAgent>;
  task(fields?: Partial<CreateTask>): Promise<Task>;
  tasks(count: number, fields?: Partial<CreateTask>): Promise<Task[]>;
  read(task: { id: number }): Promise<Task>;
  attempts(task: { id: number }): Promise<Attempt[]>;
  pause(more?: { kill?: boolean; reason?: string }): Promise<{ cancelling: number }>;
  resume(): Promise<unknown>;
  agentRow(agent: { id: number }): Promise<Agent>;
};

const agentOf = (app: TestApp, agent: { id: number; name: string }, token: string): TestAgent => {
  const client = app.client(token);
  const params = (task: Held) => ({ id: task.id });
  let seq = 0;
  const self: TestAgent = {
    id: agent.id,
    name: agent.name,
    token,
    client,
    claim: async (slots = 1, more = {}, signal) =>
      (await client.tasks.claim({ body: { slots, ...more } }, { signal })).tasks,
    claimOne: async () => {
      const [task] = await self.claim(1);
      if (task === undefined) throw new Error(`${agent.name} found nothing to claim`);
      return task;
    },
    beat: (held = [], more = {}) =>
      client.agents.heartbeat({
        params: { id: agent.id },
        body: {
          instance_id: `instance-of-${agent.name}`,
          seq: ++seq,
          attempts: held.map(({ id, epoch }) => ({ task_id: id, epoch, phase: 'running' })),
          ...more,
        },
      }),
    start: (task) => client.tasks.start({ params: params(task), body: { epoch: task.epoch } }),
    complete: (task, more = {}) =>
      client.tasks.complete({ params: params(task), body: { epoch: task.epoch, resolution: 'done', ...more } }),
    fail: (task, more = {}) =>
      client.tasks.fail({
        params: params(task),
        body: { epoch: task.epoch, retryable: true, kind: 'exit_code', message: 'it ended with 1', ...more },
      }),
    unclaim: (task, more = {}) =>
      client.tasks.unclaim({ params: params(task), body: { epoch: task.epoch, reason: 'drain', ...more } }),
    ask: (task, question = 'Which colour?') =>
      client.tasks.ask({ params: params(task), body: { epoch: task.epoch, question } }),
    log: (task, offset, chunk, stream = 'stdout') =>
      client.tasks.log({
        params: params(task),
        query: { epoch: task.epoch, stream, offset },
        body: typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk,
      }),
  };
  return self;
};

/** A workspace of its own for a test, with an admin. */
export const createWorkspaceOf = async (app: TestApp): Promise<TestWorkspace> => {
  const { id, token = '' } = await app.admin.workspaces.create({ body: { slug: freshName('ws') } });
  const admin = app.client(token);
  const self: TestWorkspace = {
    id,
    token,
    admin,
    agent: async ({ name = freshName('agent'), slots = 1, tags = [], executors, online = false } = {}) => {
      const join = await admin.join_tokens.create({ body: { slots: Math.max(slots, 32), tags } });
      const secret = `fla_${randomBytes(32).toString('base64url')}`;
      const registered = await app.client(null).agents.register({
        body: {
          join_token: join.token ?? '',
          agent: { name, slots, ...(executors === undefined ? {} : { executors }) },
          agent_token_sha256: createHash('sha256').update(secret).digest('hex'),
        },
      });
      const agent = agentOf(app, registered.agent, secret);
      if (online) await agent.beat();
      return agent;
    },
    pollAgent: async (name = freshName('poller')) => {
      const registered = await admin.agents.register({ body: { name } });
      return agentOf(app, registered.agent, registered.agent_token ?? '');
    },
    task: (fields = {}) => admin.tasks.create({ body: { title: 'a task', ...fields } }),
    tasks: async (count, fields = {}) => {
      const made: Task[] = [];
      for (let index = 0; index < count; index++) made.push(await self.task(fields));
      return made;
    },
    read: ({ id: task_id }) => admin.tasks.get({ params: { id: task_id } }),
    attempts: async ({ id: task_id }) => (await admin.tasks.attempts({ params: { id: task_id } })).attempts,
    pause: (more = {}) => admin.workspaces.pause({ params: { id }, body: more }),
    resume: () => admin.workspaces.resume({ params: { id } }),
    agentRow: ({ id: agent_id }) => admin.agents.get({ params: { id: agent_id } }),
  };
  return self;
};
