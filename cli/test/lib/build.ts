import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    flotilla: string;
  }
}

/** Builds the command line exactly as `npm run build` does, into a directory of its own. */
export default (project: TestProject): (() => void) => {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-cli-'));
  const outfile = join(dir, 'main.mjs');
  execFileSync('npm', ['run', '--silent', 'build', '--', `--outfile=${outfile}`], {
    cwd: join(import.meta.dirname, '../..'),
    stdio: 'inherit',
  });
  project.provide('flotilla', outfile);
  return () => rmSync(dir, { recursive: true, force: true });
};
