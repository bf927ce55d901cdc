import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

import type { TestProject } from 'vitest/node';

/** Who a server runs as: Postgres refuses root. */
type Ids = { uid: number; gid: number } | Record<string, never>;

/** What each external server of a run begins with. */
export type ExternalTemplate = { bin: string; cluster: string; ids: Ids; login: { user: string; password: string } };

declare module 'vitest' {
  interface ProvidedContext {
    /** null: coordinators run their bundled Postgres. */
    external: ExternalTemplate | null;
  }
}

const NOBODY = 65_534;
const LOGIN = { user: 'flotilla', password: 'external-test-password' };

/** What an administrator is asked for: a role without any privilege that owns one database. */
const PREPARE = `create role ${LOGIN.user} login password '${LOGIN.password}'\ncreate database flotilla owner ${LOGIN.user}\n`;
/** Accounts log in over TCP as everywhere: with a password. */
const INITDB = '--username=postgres --auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C --no-sync';

const runAs = (ids: Ids, argv: string[], input = '') => {
  const [file = '', ...args] = argv;
  const ended = spawnSync(file, args, { ...ids, cwd: '/', input, encoding: 'utf8', env: { TZ: 'UTC' } });
  return { ok: ended.status === 0, said: ended.error?.message ?? ended.stdout + ended.stderr };
};

const must = (ids: Ids, argv: string[], input?: string): void => {
  const { ok, said } = runAs(ids, argv, input);
  if (!ok) throw new Error(`${argv.join(' ')} failed: ${said}`);
};

/** The bundled installation in a folder that everybody may enter, with the library links that npm may have left out. */
const copyInstallation = (bin: string, dir: string): string => {
  const copy = join(dir, 'installation');
  cpSync(dirname(bin), join(copy, 'native'), { recursive: true, verbatimSymlinks: true });
  const list = join(copy, 'native/pg-symlinks.json');
  const links = existsSync(list)
    ? (JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[])
    : [];
  for (const { source, target } of links) {
    if (!existsSync(join(copy, target))) symlinkSync(basename(source), join(copy, target));
  }
  return join(copy, 'native/bin');
};

/** Makes a cluster of that installation; `remove` deletes it. */
export const makeTemplate = (given: string): { template: ExternalTemplate; remove: () => void } => {
  const dir = mkdtempSync(join(tmpdir(), 'fl-pg-'));
  chmodSync(dir, 0o711);
  const remove = () => rmSync(dir, { recursive: true, force: true });
  try {
    const ids: Ids = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    // A checkout may lie in a folder that only root may enter, and then nobody else can start what is in it.
    const bin = runAs(ids, [join(given, 'postgres'), '--version']).ok ? given : copyInstallation(given, dir);
    const home = join(dir, 'home');
    mkdirSync(home, { mode: 0o700 });
    if (ids.uid !== undefined) chownSync(home, ids.uid, ids.gid);
    const cluster = join(home, 'cluster');
    must(ids, [join(bin, 'initdb'), ...INITDB.split(' '), '-D', cluster]);
    must(ids, [join(bin, 'postgres'), '--single', '-D', cluster, 'postgres'], PREPARE);
    return { template: { bin, cluster, ids, login: LOGIN }, remove };
  } catch (error) {
    remove();
    throw error;
  }
};

/**
 * FLOTILLA_TEST_POSTGRES=<folder with initdb and postgres> lets every coordinator of the run use a server of that
 * installation, through DATABASE_URL. One cluster is made here; each fleet gets a copy.
 */
const setup = (project: TestProject): (() => void) | undefined => {
  const given = process.env.FLOTILLA_TEST_POSTGRES ?? '';
  if (given === '') {
    project.provide('external', null);
    return undefined;
  }
  const { template, remove } = makeTemplate(given);
  project.provide('external', template);
  const version = runAs(template.ids, [join(template.bin, 'postgres'), '--version']).said.trim();
  console.log(`coordinators use ${version} through DATABASE_URL`);
  return remove;
};

export default setup;
