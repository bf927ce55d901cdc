import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    agentd: string;
  }
}

/** Builds the agentd under test by the build script itself, into a directory of this run. */
export default async function build(project: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'flotilla-agentd-build-'));
  const outfile = join(dir, 'main.js');
  await promisify(execFile)('npm', ['run', '--silent', 'build', '--', `--outfile=${outfile}`], {
    cwd: join(import.meta.dirname, '..'),
  });
  // The bundle is an ES module; without this Node would read it as CommonJS.
  await import('node:fs/promises').then((fs) => fs.writeFile(join(dir, 'package.json'), '{"type":"module"}'));
  project.provide('agentd', outfile);
  return () => rm(dir, { recursive: true, force: true });
}
