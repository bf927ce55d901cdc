import { type Client, isTerminal, type Task, taskMachine } from '@flotilla/shared';

const PROMPT = 'Say hello to the person who has just started Flotilla, and tell them how many words this sentence has.';

/** Creates the sample task, shows its steps and its log as they happen, and answers how it ended. */
export const runSampleTask = async (
  client: Client,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Task> => {
  const created = await client.tasks.create({
    body: { title: 'Hello from Flotilla', description: PROMPT, tags: ['sample'], timeout_s: 300 },
  });
  say(`created ${created.ref} "${created.title}"`);
  const following = followLog(client, created.id, say, signal);
  let shown = '';
  for (;;) {
    const task = await client.tasks.get({ params: { id: created.id } });
    const line = task.waiting_for === null ? task.status_sentence : `${task.status}: ${task.waiting_for.message}`;
    if (line !== shown && !isTerminal(taskMachine, task.status)) say(`${task.ref} ${line}`);
    shown = line;
    if (isTerminal(taskMachine, task.status)) {
      // The result travels ahead of the log's last bytes; wait for those.
      await following;
      return task;
    }
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};

const followLog = async (
  client: Client,
  id: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> => {
  const response = await client.tasks.readLog(
    { params: { id }, query: { follow: 'true', stream: 'stderr' } },
    { signal },
  );
  let rest = '';
  const decoder = new TextDecoder();
  for await (const bytes of response.body ?? []) {
    const lines = (rest + decoder.decode(bytes as Uint8Array, { stream: true })).split('\n'); // a fetch body yields byte arrays
    rest = lines.pop() ?? '';
    for (const line of lines) say(`  log | ${line}`);
  }
  if (rest !== '') say(`  log | ${rest}`);
};

/** Money as people read it; no price reported is not zero. */
export const formatCost = (task: Task): string =>
  task.cost_usd_micros === null
    ? 'unpriced'
    : `$${(task.cost_usd_micros / 1_000_000).toFixed(4)} (${task.input_tokens} tokens in, ${task.output_tokens} out)`;
