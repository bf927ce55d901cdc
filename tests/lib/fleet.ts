import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Client, createClient, type Task } from '@flotilla/shared';
import type { TestContext } from 'vitest';

import { type Agentd, createAgentd } from './agentd.ts';
import { ADMIN_TOKEN, type Coordinator, createCoordinator } from './coordinator.ts';
import { auditInvariants } from './invariants.ts';
import { type Ledger, openLedger } from './ledger.ts';
import { endProcessesOf } from './processes.ts';
import { until } from './until.ts';

const TAIL = 20_000;

export type AgentRequest = {
  name: string;
  command: readonly string[];
  slots?: number;
  tags?: string[];
  /** Another way to the coordinator than the direct one: a proxy. */
  url?: string;
  env?: Record<string, string>;
};

/** A user token or none, as plain fetch takes it. */
export const clientFor = (base_url: string, token: string | null): Client => createClient({ base_url, token });

export type Fleet = {
  dir: string;
  coordinator: Coordinator;
  /** The admin of the first workspace. */
  client: Client;
  ledger: Ledger;
  agents: Agentd[];
  /** Joins a host; `start` is left to the caller. */
  join(request: AgentRequest): Promise<Agentd>;
  /** Joins and starts. */
  add(request: AgentRequest): Promise<Agentd>;
  /** Creates one task, trying again under one Idempotency-Key until it is acknowledged. */
  createTask(body: Parameters<Client['tasks']['create']>[0]['body']): Promise<Task>;
  task(id: number): Promise<Task>;
  /** Waits until every one of them has ended, whatever the way. */
  ended(ids: readonly number[], within_ms?: number): Promise<Task[]>;
  /** Every byte stored of one stream of an attempt (the newest, or the one given). */
  log(id: number, stream: 'stdout' | 'stderr', attempt?: number): Promise<string>;
  audit(): Promise<void>;
  logs(): string;
  close(): Promise<void>;
};

const TERMINAL = new Set(['done', 'failed', 'cancelled']);

const createDir = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'fl-'));
  // Under root the bundled Postgres runs as somebody else, who has to pass through here.
  await chmod(dir, 0o711);
  return dir;
};

let keys = 0;

/** A running coordinator on an empty data directory and a way to add agents. The caller closes it. */
export const createFleet = async (env: Record<string, string> = {}): Promise<Fleet> => {
  const dir = await createDir();
  const coordinator = await createCoordinator(join(dir, 'c'), env);
  const client = clientFor(coordinator.url, ADMIN_TOKEN);
  const agents: Agentd[] = [];

  const join_ = async ({ name, command, slots = 1, tags = [], url, env: own }: AgentRequest): Promise<Agentd> => {
    const { token = '' } = await client.join_tokens.create({ body: { tags } });
    const agent = createAgentd({
      name,
      state_dir: join(dir, `a-${name}`),
      url: url ?? coordinator.url,
      join_token: token,
      command,
      env: { FLOTILLA_SLOTS: String(slots), ...own },
    });
    agents.push(agent);
    return agent;
  };

  const fleet: Fleet = {
    dir,
    coordinator,
    client,
    ledger: openLedger(join(dir, 'ledger')),
    agents,
    join: join_,
    add: async (request) => {
      const agent = await join_(request);
      await agent.start();
      return agent;
    },
    createTask: (body) => {
      const headers = { 'idempotency-key': `task-${process.pid}-${(keys += 1)}` };
      return until('a task to be acknowledged', () =>
        client.tasks.create({ body }, { headers, signal: AbortSignal.timeout(10_000) }),
      );
    },
    task: (id) => client.tasks.get({ params: { id } }),
    ended: (ids, within_ms = 60_000) => {
      const found = new Map<number, Task>();
      return until(
        `${ids.length} tasks to end`,
        async () => {
          for (const id of ids) {
            if (found.has(id)) continue;
            const task = await client.tasks.get({ params: { id } });
            if (TERMINAL.has(task.status)) found.set(id, task);
            else
              throw new Error(`${found.size} ended; task ${id} is ${task.status}: ${JSON.stringify(task.waiting_for)}`);
          }
          return ids.map((id) => found.get(id) as Task); // all are there by now
        },
        within_ms,
      );
    },
    log: async (id, stream, attempt) => {
      const response = await client.tasks.readLog({ params: { id }, query: { stream, attempt } });
      return response.text();
    },
    audit: () => auditInvariants(coordinator),
    logs: () => [coordinator, ...agents].map((part) => part.logs().slice(-TAIL)).join('\n'),
    close: async () => {
      for (const agent of agents) if (agent.running()) agent.signal('SIGKILL');
      if (coordinator.running()) {
        // Stopped cleanly, so that its Postgres leaves no shared memory behind.
        await Promise.race([
          coordinator.stop(),
          until('the stop', () => !coordinator.running(), 10_000).catch(() => {}),
        ]);
      }
      await coordinator.close();
      await endProcessesOf(dir);
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    await coordinator.start();
  } catch (error) {
    await fleet.close();
    throw error;
  }
  return fleet;
};

/** A fleet for one test: closed with it, and what its processes said is printed when it failed. */
export const openFleet = async (test: TestContext, env: Record<string, string> = {}): Promise<Fleet> => {
  const fleet = await createFleet(env);
  test.onTestFinished(async () => {
    if (test.task.result?.state === 'fail') console.error(fleet.logs());
    await fleet.close();
  }, 60_000);
  return fleet;
};
