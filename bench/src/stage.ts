import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { type Client, createClient } from '@flotilla/shared';
import postgres from 'postgres';

const MAIN = join(import.meta.dirname, '../../coordinator/dist/main.js');
const ADMIN_TOKEN = 'flu_benchmark-admin-token-0123456789abcdef0123';

export type Sql = postgres.Sql;
export type Facts = { host: string; port: number; user: string; database: string };
export type Agent = { id: number; token: string };

/** A coordinator of its own with the bundled Postgres, as an operator runs it: only its log is quiet. */
export type Stage = {
  url: string;
  admin_token: string;
  client: Client;
  pid: number;
  facts: Facts;
  sql: Sql;
  /** Registers agents that may run this many tasks each. */
  agents(count: number, slots: number): Promise<Agent[]>;
  close(): Promise<void>;
};

type StageOptions = { env?: Record<string, string>; node_flags?: string[] };

const listening = async (child: ChildProcess): Promise<string> => {
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) {
    const said = JSON.parse(line) as { event: string; url: string };
    if (said.event === 'listening') return said.url;
  }
  throw new Error('the coordinator ended before it listened');
};

const factsOf = async (data_dir: string): Promise<Facts> => {
  const lock = await readFile(join(data_dir, 'postgres-18/postmaster.pid'), 'utf8');
  return { host: lock.split('\n')[4] ?? '', port: 5432, user: 'postgres', database: 'flotilla' };
};

const registerAgent = async (client: Client, joining: Client, name: string, slots: number): Promise<Agent> => {
  const { token = '' } = await client.join_tokens.create({ body: { slots } });
  const { agent, agent_token = '' } = await joining.agents.register({
    body: { join_token: token, agent: { name, slots } },
  });
  return { id: agent.id, token: agent_token };
};

const registerAgents = async (url: string, client: Client, count: number, slots: number): Promise<Agent[]> => {
  const joining = createClient({ base_url: url, token: null });
  const made: Agent[] = [];
  while (made.length < count) {
    const names = Array.from({ length: Math.min(32, count - made.length) }, () => `bench-${randomUUID()}`);
    made.push(...(await Promise.all(names.map((name) => registerAgent(client, joining, name, slots)))));
  }
  return made;
};

export const openStage = async ({ env = {}, node_flags = [] }: StageOptions = {}): Promise<Stage> => {
  const dir = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
  await chmod(dir, 0o711); // under root the bundled Postgres runs as somebody else, who has to pass through here
  const data_dir = join(dir, 'data');
  const { PATH = '', HOME = '' } = process.env;
  const given = {
    FLOTILLA_PORT: '0',
    FLOTILLA_DATA_DIR: data_dir,
    FLOTILLA_ADMIN_TOKEN: ADMIN_TOKEN,
    FLOTILLA_LOG_LEVEL: 'warn',
  };
  const child = spawn(process.execPath, [...node_flags, MAIN], {
    env: { PATH, HOME, ...given, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // A benchmark that fails must not leave a coordinator behind.
  const stop = () => child.kill('SIGKILL');
  process.once('exit', stop);
  const url = await listening(child);
  const facts = await factsOf(data_dir);
  const sql = postgres({
    ...facts,
    max: 2,
    onnotice: () => {},
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
  });
  const client = createClient({ base_url: url, token: ADMIN_TOKEN });
  return {
    url,
    admin_token: ADMIN_TOKEN,
    client,
    pid: child.pid ?? 0,
    facts,
    sql,
    agents: (count, slots) => registerAgents(url, client, count, slots),
    close: async () => {
      await sql.end({ timeout: 5 });
      child.kill('SIGTERM');
      await once(child, 'exit');
      process.off('exit', stop);
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
};
