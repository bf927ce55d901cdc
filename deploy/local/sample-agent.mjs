// The program that the sample task runs when OpenClaw is not installed: reads the prompt on stdin, shows progress on
// stderr, answers a result with usage on stdout, as any program behind FLOTILLA_COMMAND may.
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const prompt = await text(process.stdin);
const words = prompt.split(/\s+/).filter(Boolean);
for (const step of ['reading the prompt', `counting ${words.length} words`, 'writing the answer']) {
  process.stderr.write(`sample agent: ${step}\n`);
  await sleep(150);
}
const longest = words.reduce((a, b) => (b.length > a.length ? b : a), '');
const resolution = `I read ${words.length} words; the longest is "${longest}".`;
// A local program costs nothing, and says so; a result without a cost would be shown as unpriced.
const usage = { input_tokens: words.length, output_tokens: resolution.split(' ').length, cost_usd_micros: 0 };
process.stdout.write(`${JSON.stringify({ resolution, usage })}\n`);
