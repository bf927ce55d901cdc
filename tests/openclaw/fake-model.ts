import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

/** The little of a chat completion request that is read here. */
type Part = { text?: string };
type Message = { role: string; content?: string | Part[] | null };
type Completion = { model: string; stream?: boolean; messages: Message[] };

/** One request as the model got it. */
export type Turn = {
  /** The task it belongs to: the word after `CASE=` in its prompt. */
  key: string;
  model: string;
  authorization: string;
  system: string;
  prompt: string;
  /** What the tools called so far answered. */
  tool_results: string[];
  status: number;
  /** The client hung up before it had its answer. */
  abandoned: boolean;
};

export type FakeModel = {
  base_url: string;
  turns: (key: string) => Turn[];
  close: () => Promise<void>;
};

const words = ({ content }: Message): string =>
  typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? '').join('\n');

const textOf = (messages: Message[], ...roles: string[]): string =>
  messages
    .filter(({ role }) => roles.includes(role))
    .map(words)
    .join('\n');

const answerJson = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};

/** Streams one assistant message, words or a tool call, as server-sent events with the usage at the end. */
const stream = (
  response: ServerResponse,
  model: string,
  deltas: object[],
  finish_reason: string,
  raw: string,
): void => {
  const chunk = (rest: object) =>
    response.write(
      `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, ...rest })}\n\n`,
    );
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const delta of [{ role: 'assistant', content: '' }, ...deltas]) {
    chunk({ choices: [{ index: 0, delta, finish_reason: null }] });
  }
  chunk({ choices: [{ index: 0, delta: {}, finish_reason }] });
  const prompt_tokens = Math.ceil(raw.length / 4);
  chunk({ choices: [], usage: { prompt_tokens, completion_tokens: 10, total_tokens: prompt_tokens + 10 } });
  response.end('data: [DONE]\n\n');
};

const callTool = (command: string): object => ({
  tool_calls: [
    { index: 0, id: 'call_1', type: 'function', function: { name: 'exec', arguments: JSON.stringify({ command }) } },
  ],
});

/**
 * A model provider on loopback: OpenAI's chat completions as far as OpenClaw uses them. The prompt says what happens:
 * `CASE=a` (whose turn it is), `FAIL=400` (an error of that status), `HANG` (no answer), `SLOW=3` (seconds before the
 * answer), `MEET` (an answer when two such turns are there), `TOOL=x` (before the answer, one call of the tool `exec` with
 * `commands.x`).
 */
export const startFakeModel = async (commands: Record<string, string>): Promise<FakeModel> => {
  const turns: Turn[] = [];
  const meeting = new EventEmitter();
  let met = 0;

  const reply = async (request: IncomingMessage, response: ServerResponse, raw: string): Promise<void> => {
    const { messages, model } = JSON.parse(raw) as Completion; // OpenClaw is the only client
    const prompt = textOf(messages, 'user');
    const failure = Number(/FAIL=(\d{3})/.exec(prompt)?.[1] ?? 0);
    const turn: Turn = {
      key: /CASE=(\w+)/.exec(prompt)?.[1] ?? '',
      model,
      authorization: request.headers.authorization ?? '',
      system: textOf(messages, 'system', 'developer'),
      prompt,
      tool_results: messages.filter(({ role }) => role === 'tool').map(words),
      status: failure === 0 ? 200 : failure,
      abandoned: false,
    };
    turns.push(turn);
    response.once('close', () => (turn.abandoned = !response.writableFinished));
    if (failure > 0)
      return answerJson(response, failure, { error: { message: `fake failure ${failure}`, code: 'fake' } });
    if (/\bHANG\b/.test(prompt)) return;
    await sleep(1000 * Number(/SLOW=(\d+)/.exec(prompt)?.[1] ?? 0));
    if (/\bMEET\b/.test(prompt)) {
      if ((met += 1) === 2) meeting.emit('all');
      else await once(meeting, 'all');
    }
    const command = commands[/TOOL=(\w+)/.exec(prompt)?.[1] ?? ''];
    if (command !== undefined && turn.tool_results.length === 0) {
      return stream(response, model, [callTool(command)], 'tool_calls', raw);
    }
    stream(response, model, [{ content: `Done with ${turn.key}.` }, { content: ' Bye.' }], 'stop', raw);
  };

  const server = createServer((request, response) => {
    void text(request).then((raw) =>
      request.method === 'POST' && request.url?.endsWith('/chat/completions') === true
        ? reply(request, response, raw)
        : answerJson(response, 404, { error: { message: `no route ${request.url}` } }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return {
    base_url: `http://127.0.0.1:${port}/v1`,
    turns: (key) => turns.filter((turn) => turn.key === key),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
