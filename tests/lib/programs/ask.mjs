// node ask.mjs LEDGER — counts its execution. Without an answer in its prompt it asks a person, with the token of its own
// attempt, and would run on for ever; with one it says what it read and succeeds.
import { appendFileSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

const [, , ledger] = process.argv;
const { FLOTILLA_URL, FLOTILLA_TASK_ID, FLOTILLA_EPOCH, FLOTILLA_TOKEN_FILE } = process.env;
const note = (word) => appendFileSync(ledger, `${FLOTILLA_TASK_ID} ${FLOTILLA_EPOCH} ${word}\n`);

note('start');
const prompt = await text(process.stdin);
if (prompt.includes('The answer was:')) {
  note('end');
  process.stdout.write(prompt);
} else {
  process.stdout.write('asks a person\n');
  await fetch(`${FLOTILLA_URL}/api/v1/tasks/${FLOTILLA_TASK_ID}/ask`, {
    method: 'POST',
    headers: { 'x-api-key': readFileSync(FLOTILLA_TOKEN_FILE, 'utf8').trim(), 'content-type': 'application/json' },
    body: JSON.stringify({ epoch: Number(FLOTILLA_EPOCH), question: 'Which colour\nshall it have?' }),
  });
  setInterval(() => {}, 60_000);
}
