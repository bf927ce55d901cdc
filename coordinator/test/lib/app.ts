import { randomBytes, randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';

import { type Client, createClient, PROTOCOL_VERSION, type Transport } from '@flotilla/shared';
import { pino } from 'pino';
import { afterAll, inject } from 'vitest';

import { createBatches } from '../../src/batches.ts';
import { readConfig } from '../../src/config.ts';
import { connect, type Pool } from '../../src/db/client.ts';
import { createDatabase } from '../../src/db/database.ts';
import type { Deps } from '../../src/deps.ts';
import { createSharedReads } from '../../src/events/shared-reads.ts';
import { sealAudit } from '../../src/audit/seal.ts';
import { sequence } from '../../src/events/sequencer.ts';
import { createApp } from '../../src/http/app.ts';
import { createHub } from '../../src/hub.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createClaimDesk } from '../../src/tasks/claim/desk.ts';
import { expireLeases } from '../../src/tasks/expire/expire.ts';
import { expirySuspended } from '../../src/tasks/expire/suspension.ts';
import { createQueueClasses } from '../../src/tasks/queue-classes.ts';
import { createBelieved } from '../../src/tokens/believed.ts';
import { ensureFirstWorkspace, loadAttemptKey } from '../../src/workspaces/bootstrap.ts';
import { createWorkspaceOf, type TestWorkspace } from './fleet.ts';
import { findViolations } from './invariants.ts';
import { until } from './until.ts';

export const BASE_URL = 'http://coordinator.test';

type Asked = { token?: string | null; body?: unknown; headers?: Record<string, string>; signal?: AbortSignal };
/** What came back, read whole: for what the typed client hides. */
export type Answered = { status: number; body: Record<string, unknown>; text: string; headers: Headers };

export type TestApp = {
  deps: Deps;
  sql: Pool;
  /** Admin token of the first workspace, and a client that uses it. */
  admin_token: string;
  admin: Client;
  app: ReturnType<typeof createApp>;
  client(token: string | null): Client;
  /** One raw request. `body` is JSON unless it is a string or bytes. Agents' calls carry the protocol header by themselves. */
  request(method: string, path: string, asked?: Asked): Promise<Answered>;
  /** The response itself, unread: for streams. */
  open(path: string, asked?: Asked): Promise<Response>;
  workspace(): Promise<TestWorkspace>;
  /** Moves the database's clock forward. */
  shiftClock(ms: number): Promise<void>;
  /** Positions for all events so far, and a sealed audit. */
  sequence(): Promise<void>;
  /** One pass of expiry with its guards; answers why it was suspended, or null. The coordinator counts as alive. */
  expire(): Promise<string | null>;
};

/** Makes the Deps of `run.ts` over a given pool. */
export const makeDeps = async (pool: Pool, environment: Record<string, string>): Promise<Deps> => {
  const db = createDatabase(pool);
  const hub = createHub();
  const deps: Deps = {
    config: readConfig({ FLOTILLA_LOG_LEVEL: 'silent', FLOTILLA_DATA_DIR: tmpdir(), ...environment }),
    db,
    log: pino({ level: 'silent' }),
    metrics: createMetrics(),
    hub,
    classes: createQueueClasses(),
    desk: createClaimDesk(),
    batches: createBatches(),
    workspace_facts: new Map(),
    event_reads: createSharedReads(hub),
    isDiskLow: () => Promise.resolve(false),
    believed: createBelieved(),
    attempt_key: await loadAttemptKey(db),
    random: Math.random,
  };
  deps.hub.on('work', (queue_class_id, count) => deps.desk.wake(deps, queue_class_id, count));
  deps.hub.on('interrupt', (agent_id) => deps.desk.end(agent_id));
  return deps;
};

const cloneTemplate = async (): Promise<{ database: string; administer: Pool }> => {
  const { host, port, user, template } = inject('postgres');
  const administer = connect({ host, port, user, database: 'postgres' }, { max: 1, name: 'test-admin' });
  const database = `test_${randomUUID().replaceAll('-', '')}`;
  await administer`create database ${administer(database)} template ${administer(template)}`;
  return { database, administer };
};

/** A coordinator without HTTP server and loops on its own database; closed and checked by itself after the file. */
export const testApp = async (environment: Record<string, string> = {}): Promise<TestApp> => {
  const { host, port, user } = inject('postgres');
  const { database, administer } = await cloneTemplate();
  const pool = connect({ host, port, user, database }, { max: 12, name: 'flotilla' });
  const admin_token = `flu_${randomBytes(32).toString('base64url')}`;
  await ensureFirstWorkspace(createDatabase(pool), admin_token);
  const deps = await makeDeps(pool, environment);
  const stopping = new AbortController();
  const app = createApp(deps, stopping.signal);

  const transport: Transport = async ({ url, body, ...init }) =>
    app.request(url, { ...init, body: body as RequestInit['body'] });
  const client = (token: string | null) => createClient({ base_url: BASE_URL, token, transport });
  const open: TestApp['open'] = async (path, asked = {}) => app.request(`${BASE_URL}${path}`, initOf('GET', asked));

  afterAll(async () => {
    stopping.abort();
    try {
      const violations = await findViolations(pool);
      if (violations.length > 0) throw new Error(`invariants broken:\n${violations.join('\n')}`);
    } finally {
      await pool.end({ timeout: 5 });
      const count = async () => {
        const [row] = await administer<{ count: number }[]>`
          select count(*)::int as count from pg_stat_activity where datname = ${database}`;
        return row?.count ?? 0;
      };
      // A backend ends a moment after its socket closed; a leaked pool never does.
      await until('every connection to the test database is closed', async () => (await count()) === 0, 5_000).finally(
        () => administer.end({ timeout: 5 }),
      );
    }
  });

  const result: TestApp = {
    deps,
    sql: pool,
    admin_token,
    admin: client(admin_token),
    app,
    client,
    open,
    request: async (method, path, asked = {}) => {
      const response = await app.request(`${BASE_URL}${path}`, initOf(method, asked));
      const text = await response.text();
      const json = response.headers.get('content-type')?.startsWith('application/json') === true;
      const body = json ? (JSON.parse(text) as Record<string, unknown>) : {}; // every JSON answer of the API is an object
      return { status: response.status, text, body, headers: response.headers };
    },
    workspace: () => createWorkspaceOf(result),
    shiftClock: async (ms) => {
      await pool`update clock_shift set shift = shift + ${ms} * interval '1 ms'`;
    },
    sequence: async () => {
      while ((await sequence(deps)) > 0);
      while ((await sealAudit(deps)) > 0);
    },
    expire: async () => {
      await pool`update service set alive_at = clock_timestamp()`;
      const suspended = await expirySuspended(deps);
      if (suspended !== null) return suspended;
      while ((await expireLeases(deps)) > 0);
      return null;
    },
  };
  return result;
};

const initOf = (method: string, { token, body, headers, signal }: Asked): RequestInit => {
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  return {
    method,
    signal,
    headers: {
      'flotilla-protocol': String(PROTOCOL_VERSION),
      ...(token == null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': raw ? 'application/octet-stream' : 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? (body as RequestInit['body']) : JSON.stringify(body) }),
  };
};
