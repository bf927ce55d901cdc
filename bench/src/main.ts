// make bench [ONLY=claims,…] [ROUNDS=5] [OUT=file.md]: one scenario after the other, printed as each ends, then written.
// With --smoke: every scenario in its cheapest form, to see that it still works.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { startLoader } from './loader.ts';
import { asMarkdown, asText } from './markdown.ts';
import { bundlePrograms } from './programs.ts';
import type { Result } from './report.ts';
import { FULL, SMOKE } from './scale.ts';
import { scenarios } from './scenarios/index.ts';
import { createScope, type Scope, within } from './scope.ts';
import { openStage } from './stage.ts';

const DOCS = join(import.meta.dirname, '../../docs/benchmarks.md');

const smoke = process.argv.includes('--smoke');
const { ONLY = '', ROUNDS = '', OUT = '' } = process.env;
const scale = { ...(smoke ? SMOKE : FULL), ...(ROUNDS === '' ? {} : { rounds: Number(ROUNDS) }) };
const names = ONLY === '' ? Object.keys(scenarios) : ONLY.split(',');

const measureAll = async (scope: Scope): Promise<{ results: Result[]; notes: string[]; postgres: string }> => {
  await bundlePrograms();
  const stage = await openStage(scope);
  const loader = startLoader(scope);
  const [server] = await stage.sql<{ server_version: string }[]>`show server_version`;
  const results: Result[] = [];
  const notes: string[] = [];
  const note = (sentence: string) => {
    console.log(`\n${sentence}`);
    notes.push(sentence);
  };
  for (const name of names) {
    if (interrupted.aborted) break;
    const scenario = scenarios[name];
    if (scenario === undefined)
      throw new Error(`there is no scenario ${name}; use ${Object.keys(scenarios).join(', ')}`);
    const began = performance.now();
    try {
      await within(scope, async (own) => {
        for await (const result of scenario({ scope: own, stage, loader, scale, note })) {
          console.log(asText(result));
          results.push(result);
        }
      });
    } catch (error) {
      if (interrupted.aborted) break;
      console.error(error);
      note(`The scenario ${name} failed: ${String(error)}`);
      process.exitCode = 1;
    }
    console.log(`\n(${name}: ${Math.round((performance.now() - began) / 1000)} s)`);
  }
  return { results, notes, postgres: server?.server_version ?? 'unknown' };
};

const scope = createScope();
const interrupt = new AbortController();
const interrupted = interrupt.signal;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupt.abort();
    void scope.close(); // what runs fails by that, and the end below comes soon
  });
}
try {
  const measured = await measureAll(scope);
  // A part of it, or a smoke run, is no reason to replace the whole.
  const file = OUT === '' && ONLY === '' && !smoke ? DOCS : OUT;
  const report = asMarkdown({ command: 'make bench', rounds: scale.rounds, ...measured });
  if (file !== '' && !interrupted.aborted) await writeFile(file, report);
} catch (error) {
  if (!interrupted.aborted) console.error(error);
  process.exitCode = 1;
} finally {
  await scope.close();
}
process.exit(interrupted.aborted ? 130 : process.exitCode);
