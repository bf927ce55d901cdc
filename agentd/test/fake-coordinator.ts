import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Beat, ClaimedTask, LogStream, Timings } from '@flotilla/shared';

import {
  apiError,
  emptyLog,
  fakeAgent,
  type FakeAttempt,
  type FakeDrain,
  type FakeRequest,
  type FakeTask,
  type Fault,
  isLive,
  json,
  storeFile,
} from './fake-state.ts';

const JOIN_TOKEN = 'flj_test-join-token-canary';

type Parked = { slots: number; claim_id: string | undefined; end: (tasks: ClaimedTask[]) => void };

/**
 * A coordinator of one agent, small enough to read: real HTTP, the semantics of protocol.md §2–§6 as far as agentd can
 * see them, and faults per request. Its fields are the test's to read and to change.
 */
export class FakeCoordinator {
  readonly join_token = JOIN_TOKEN;
  readonly tasks = new Map<number, FakeTask>();
  readonly requests: FakeRequest[] = [];
  readonly beats: Beat[] = [];
  /** Asked for every request before anything else; null answers normally. */
  fault: (request: FakeRequest) => Fault | null = () => null;
  timings: Timings = {
    heartbeat_ms: 200,
    suspect_ms: 500,
    lost_ms: 900,
    lease_ms: 90_000,
    requeue_grace_ms: 500,
    claim_wait_s: 20,
    reconnect_delay_ms: 0,
  };
  eligibility: 'eligible' | 'ineligible' = 'eligible';
  eligibility_generation = 1;
  drain: FakeDrain | null = null;
  #drain_began = 0;
  registered: { digest: string; name: string; count: number } | null = null;
  port = 0;
  #server: Server | null = null;
  #parked: Parked | null = null;
  #next_epoch = 100;

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Listens; again on the same port after `stop`. */
  async start(): Promise<this> {
    const server = createServer((request, response) => {
      void this.#serve(request, response);
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port; // a TCP server's address is never a string
    this.#server = server;
    return this;
  }

  /** Closes every connection, as a coordinator that dies. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    this.#parked = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  addTask(given: Partial<ClaimedTask> = {}): FakeTask {
    const id = given.id ?? this.tasks.size + 1;
    const task: FakeTask = { id, status: 'queued', given, cancel_requested: false, attempts: [] };
    this.tasks.set(id, task);
    this.#wake();
    return task;
  }

  /** Drops the attempt's lease and queues the task again, as after its expiry. */
  expire(task: FakeTask): void {
    for (const attempt of task.attempts) if (isLive(attempt)) attempt.state = 'lost';
    task.status = 'queued';
    this.#wake();
  }

  startDrain(drain: Omit<FakeDrain, 'generation' | 'deadline'>): void {
    this.eligibility = 'ineligible';
    this.eligibility_generation += 1;
    this.drain = { ...drain, generation: this.eligibility_generation, deadline: null };
    this.#drain_began = Date.now();
    this.#parked?.end([]);
  }

  /** The drain as a beat tells it: with the time that is left by now. */
  #drainLeft(): FakeDrain | null {
    const left = this.drain?.remaining_ms ?? null;
    return (
      this.drain && {
        ...this.drain,
        remaining_ms: left === null ? null : Math.max(0, left - (Date.now() - this.#drain_began)),
      }
    );
  }

  attempts(): FakeAttempt[] {
    return [...this.tasks.values()].flatMap(({ attempts }) => attempts);
  }

  #claimed(task: FakeTask, attempt: FakeAttempt): ClaimedTask {
    const number = task.attempts.indexOf(attempt) + 1;
    return {
      id: task.id,
      ref: `TASK-${task.id}`,
      kind: 'task',
      title: `Task ${task.id}`,
      prompt: `prompt of ${task.id}`,
      epoch: attempt.epoch,
      attempt_id: attempt.epoch,
      attempt: number,
      lease_ms: this.timings.lease_ms,
      timeout_s: 3600,
      executor: null,
      model: null,
      on_host_loss: 'requeue',
      attempt_token: `flt_attempt-token-${attempt.epoch}`,
      metadata: {},
      ...task.given,
    };
  }

  #take(slots: number, claim_id: string | undefined): ClaimedTask[] {
    const replayed = this.attempts().filter(
      (attempt) => claim_id !== undefined && attempt.claim_id === claim_id && isLive(attempt),
    );
    const task = (attempt: FakeAttempt) => this.tasks.get(attempt.task_id)!;
    if (replayed.length > 0) return replayed.map((attempt) => this.#claimed(task(attempt), attempt));
    if (this.eligibility !== 'eligible') return [];
    const queued = [...this.tasks.values()].filter(({ status }) => status === 'queued').slice(0, slots);
    return queued.map((found) => {
      const attempt: FakeAttempt = {
        task_id: found.id,
        epoch: this.#next_epoch++,
        claim_id,
        state: 'claimed',
        log: emptyLog(),
        files: new Map(),
        reports: [],
        last_phase: null,
      };
      found.attempts.push(attempt);
      found.status = 'running';
      return this.#claimed(found, attempt);
    });
  }

  #wake(): void {
    const parked = this.#parked;
    if (parked === null) return;
    const tasks = this.#take(parked.slots, parked.claim_id);
    if (tasks.length > 0) parked.end(tasks);
  }

  async #claim(request: FakeRequest, socket: IncomingMessage): Promise<Fault> {
    const { slots, wait_s, claim_id } = request.body as { slots: number; wait_s: number; claim_id?: string };
    this.#parked?.end([]);
    let tasks = this.#take(slots, claim_id);
    if (tasks.length === 0 && this.eligibility === 'eligible') {
      tasks = await new Promise<ClaimedTask[]>((resolve) => {
        const end = (found: ClaimedTask[]) => {
          clearTimeout(timer);
          if (this.#parked === parked) this.#parked = null;
          resolve(found);
        };
        const timer = setTimeout(() => end([]), wait_s * 1000);
        const parked: Parked = { slots, claim_id, end };
        this.#parked = parked;
        // No claim is made for a closed socket.
        socket.socket.once('close', () => end([]));
      });
    }
    return json(200, { tasks });
  }

  #beat(request: FakeRequest): Fault {
    const beat = request.body as Beat;
    this.beats.push(beat);
    const attempts = beat.attempts.map(({ task_id, epoch, phase }) => {
      const task = this.tasks.get(task_id);
      const attempt = task?.attempts.find((candidate) => candidate.epoch === epoch);
      if (attempt !== undefined) attempt.last_phase = phase;
      const live = attempt !== undefined && isLive(attempt);
      const verdict = !live ? 'lost' : task?.cancel_requested === true ? 'cancel' : 'renewed';
      return { task_id, epoch, verdict, lease_ms: live ? this.timings.lease_ms : null };
    });
    return json(200, {
      agent: { id: 7, name: 'tester', status: 'online' },
      eligibility: this.eligibility,
      eligibility_generation: this.eligibility_generation,
      drain: this.#drainLeft(),
      restart_generation: 0,
      token_generation: 0,
      version: null,
      commands: [],
      attempts,
      timings: this.timings,
      desired_state: { action: 'none' },
    });
  }

  #register(request: FakeRequest): Fault {
    const { join_token, agent, agent_token_sha256 } = request.body as {
      join_token: string;
      agent: { name: string };
      agent_token_sha256: string;
    };
    if (join_token !== JOIN_TOKEN) return apiError(401, 'join_token_invalid');
    const again = this.registered?.digest === agent_token_sha256;
    if (this.registered !== null && !again) return apiError(401, 'join_token_invalid');
    this.registered = { digest: agent_token_sha256, name: agent.name, count: (this.registered?.count ?? 0) + 1 };
    return json(again ? 200 : 201, { agent: fakeAgent(agent.name), timings: this.timings });
  }

  #log(attempt: FakeAttempt, request: FakeRequest): Fault {
    const stream = request.query.get('stream') as LogStream;
    const offset = Number(request.query.get('offset'));
    const stored = attempt.log[stream];
    if (offset > stored.length) return apiError(409, 'log_gap', { wanted_offset: stored.length });
    const fresh = request.bytes.subarray(stored.length - offset);
    attempt.log[stream] = Buffer.concat([stored, fresh]);
    return json(200, { next_offset: attempt.log[stream].length });
  }

  #terminal(task: FakeTask, attempt: FakeAttempt, verb: string, body: Record<string, unknown>): Fault {
    const done =
      verb === 'unclaim'
        ? { kind: 'answer' as const, status: 204, body: '' }
        : json(200, { status: verb === 'complete' ? 'done' : 'failed' });
    const same = attempt.reports.some(
      (report) => report.verb === verb && JSON.stringify(report.body) === JSON.stringify(body),
    );
    if (same && !isLive(attempt)) return done;
    attempt.reports.push({ verb, body });
    if (!isLive(attempt)) return apiError(409, 'lease_lost');
    attempt.state = verb === 'complete' ? 'completed' : verb === 'fail' ? 'failed' : 'released';
    task.status = verb === 'complete' ? 'done' : verb === 'fail' ? 'failed' : 'queued';
    return done;
  }

  #onTask(request: FakeRequest, id: number, verb: string): Fault {
    const task = this.tasks.get(id);
    if (task === undefined) return apiError(404, 'not_found');
    if (task.status === 'deleted') return apiError(410, 'task_gone');
    const body = (request.body ?? {}) as Record<string, unknown>;
    const epoch = Number(request.query.get('epoch') ?? body.epoch);
    const attempt = task.attempts.find((candidate) => candidate.epoch === epoch);
    if (attempt === undefined) return apiError(409, 'lease_lost');
    if (verb === 'log') return this.#log(attempt, request);
    if (verb === 'attachments') return storeFile(attempt, request);
    if (verb !== 'start') return this.#terminal(task, attempt, verb, body);
    if (!isLive(attempt)) return apiError(409, 'lease_lost');
    attempt.state = 'running';
    return { kind: 'answer', status: 204, body: '' };
  }

  async #route(request: FakeRequest, socket: IncomingMessage): Promise<Fault> {
    if (request.path === '/agents/register') return this.#register(request);
    if (request.token === null || this.registered === null) return apiError(401, 'unauthenticated');
    if (request.path === '/tasks/claim') return this.#claim(request, socket);
    if (request.path === '/agents/7/heartbeat') return this.#beat(request);
    const [, id, verb] =
      /^\/tasks\/(\d+)\/(start|log|attachments|usage|complete|fail|unclaim)$/.exec(request.path) ?? [];
    return verb === undefined ? apiError(404, 'not_found') : this.#onTask(request, Number(id), verb);
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
    } catch {
      return; // the client went away
    }
    const bytes = Buffer.concat(chunks);
    const url = new URL(incoming.url ?? '/', this.url);
    const is_json = incoming.headers['content-type'] === 'application/json';
    const request: FakeRequest = {
      method: incoming.method ?? '',
      path: url.pathname.replace('/api/v1', ''),
      query: url.searchParams,
      bytes,
      body: is_json ? JSON.parse(bytes.toString()) : null,
      token: incoming.headers.authorization ?? null,
    };
    this.requests.push(request);
    const fault = this.fault(request);
    const before = fault !== null && (fault.kind === 'hang' || fault.after !== true);
    const effect = before ? null : await this.#route(request, incoming);
    const answer = fault ?? effect;
    if (answer === null || answer.kind === 'hang') return;
    if (answer.kind === 'reset') return void incoming.socket.resetAndDestroy();
    response
      .writeHead(answer.status, answer.type === undefined ? {} : { 'content-type': answer.type })
      .end(answer.body);
  }
}
