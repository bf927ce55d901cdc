import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/**
 * What happens to a request: it passes; its connection is reset before it gets through; it gets through and the answer
 * is swallowed; it waits; it is never answered; somebody else answers it.
 */
export type Fault =
  | { kind: 'drop_before' | 'drop_after' | 'half_open' | 'answer_502_html' | 'answer_200_html' }
  | { kind: 'delay'; ms: number };

/** Matches "POST /api/v1/tasks/claim"; the first rule that matches counts. `times` limits how often it acts. */
export type Rule = { match: RegExp; fault: Fault; times?: number };

export type Exchange = { request: string; status: number | null; fault: Fault['kind'] | null; answer: string };

export type Proxy = {
  url: string;
  /** Replaces the rules from now on; answers that are under way fall under the new ones. */
  set(rules: Rule[]): void;
  heal(): void;
  /** No request gets through, no answer comes back, and what is under way is cut: a dead network. */
  partition(): void;
  /** What went through, in order of the answers. */
  exchanges: Exchange[];
  close(): Promise<void>;
};

const PAGE = '<html><body><h1>Some gateway</h1></body></html>';
const KEPT_ANSWER = 4_000;

/** A proxy between agents and the coordinator, with real sockets on both sides and faults to order. */
export const startProxy = async (upstream: string): Promise<Proxy> => {
  let rules: Rule[] = [];
  const exchanges: Exchange[] = [];
  const sockets = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  const outgoing = new http.Agent({ keepAlive: false });

  const faultFor = (request: string): Fault | null => {
    const rule = rules.find(({ match, times = 1 }) => times > 0 && match.test(request));
    if (rule?.times !== undefined) rule.times -= 1;
    return rule?.fault ?? null;
  };
  // An answer is judged when it comes back: a claim may have been parked before the fault began.
  const swallows = (request: string, began: Fault | null): Fault | null => {
    if (began?.kind === 'drop_after') return began;
    const now = rules.find(({ match, times = 1 }) => times > 0 && match.test(request));
    return now?.fault.kind === 'drop_after' ? faultFor(request) : null;
  };

  const forward = (incoming: http.IncomingMessage, outcome: http.ServerResponse, name: string, began: Fault | null) => {
    const call = http.request(new URL(incoming.url ?? '/', upstream), {
      method: incoming.method,
      headers: incoming.headers,
      agent: outgoing,
    });
    incoming.pipe(call);
    // The coordinator must see that a client has gone: it may be a parked claim.
    outcome.once('close', () => {
      if (!outcome.writableFinished && began?.kind !== 'drop_after') call.destroy();
    });
    call.once('error', () => incoming.socket.resetAndDestroy());
    call.once('response', (answer) => relay(answer, incoming, outcome, { name, began }));
  };

  const relay = (
    answer: http.IncomingMessage,
    incoming: http.IncomingMessage,
    outcome: http.ServerResponse,
    { name, began }: { name: string; began: Fault | null },
  ) => {
    const fault = swallows(name, began);
    let kept = '';
    answer.on('data', (chunk: Buffer) => {
      if (kept.length < KEPT_ANSWER) kept += chunk.toString('utf8');
    });
    answer.once('error', () => incoming.socket.resetAndDestroy());
    answer.once('close', () => {
      exchanges.push({ request: name, status: answer.statusCode ?? 0, fault: fault?.kind ?? null, answer: kept });
      // Only now has the whole answer come, so whatever it reports is committed.
      if (fault !== null || !answer.complete) incoming.socket.resetAndDestroy();
    });
    if (fault !== null) return;
    outcome.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outcome);
  };

  const server = http.createServer((incoming, outcome) => {
    const name = `${incoming.method} ${incoming.url}`;
    const fault = faultFor(name);
    const note = () => exchanges.push({ request: name, status: null, fault: fault?.kind ?? null, answer: '' });
    switch (fault?.kind) {
      case 'drop_before':
        note();
        incoming.socket.resetAndDestroy();
        return;
      case 'half_open':
        note();
        incoming.resume();
        return;
      case 'answer_502_html':
      case 'answer_200_html': {
        note();
        const status = fault.kind === 'answer_502_html' ? 502 : 200;
        incoming.resume();
        incoming.once('end', () => outcome.writeHead(status, { 'content-type': 'text/html' }).end(PAGE));
        return;
      }
      case 'delay': {
        const timer = setTimeout(() => {
          timers.delete(timer);
          if (!incoming.socket.destroyed) forward(incoming, outcome, name, fault);
        }, fault.ms);
        timers.add(timer);
        return;
      }
      default:
        forward(incoming, outcome, name, fault);
    }
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.keepAliveTimeout = 75_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has one

  return {
    url: `http://127.0.0.1:${port}`,
    set: (next) => {
      rules = next;
    },
    heal: () => {
      rules = [];
      // Half-open connections of the dead network must not hold a client until its own deadline.
      for (const socket of sockets) socket.resetAndDestroy();
    },
    partition: () => {
      rules = [{ match: /./, fault: { kind: 'drop_before' } }];
      for (const socket of sockets) socket.resetAndDestroy();
    },
    exchanges,
    close: async () => {
      for (const timer of timers) clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      outgoing.destroy();
    },
  };
};
