import { clusterAccount, currentAccount } from './accounts.ts';
import { writeAccessFiles } from './access-files.ts';
import { findBinaries, linkLibraries, type Binaries } from './binaries.ts';
import { clusterOwner, inspectClusters, prepareDataDir } from './data-dir.ts';
import { fileSystemError } from './error.ts';
import { initCluster, removeUnfinished } from './init-cluster.ts';
import { stopOrphans } from './orphans.ts';
import { claimDataDirectory, type Ownership } from './owner.ts';
import { waitUntilReady, watchPostmaster, type Postmaster, type PostmasterExit } from './postmaster.ts';
import { findRunAs } from './reach.ts';
import { spawnAs, type RunAs } from './run-as.ts';
import { settingArgs } from './settings.ts';
import { clearSocket, hashOf, PORT, prepareSocketDir, removeSpareSocketDir } from './socket-dir.ts';

export type StartOptions = {
  /** Holds the cluster, its socket and the owner's lock; created if it does not exist. */
  data_dir: string;
  /** Gets each line that Postgres writes, and warnings about where it runs. */
  log: (line: string) => void;
  /** Postgres settings that replace our defaults. */
  settings?: Record<string, string>;
  /** Aborting it during the start stops what was started; afterwards it means nothing. */
  signal?: AbortSignal;
};

export type Connection = { host: string; port: number; user: 'postgres'; database: string };

export type EmbeddedPostgres = {
  socket_dir: string;
  port: number;
  user: 'postgres';
  /** What postgres.js and `pg` both take as options. */
  connection(database: string): Connection;
  /** A URL for `pg` and libpq (psql). postgres.js cannot read a socket from a URL: give it `connection`. */
  url(database: string): string;
  /** Resolves when the postmaster ends, for whatever reason. */
  exited: Promise<PostmasterExit>;
  /** What an earlier coordinator that was killed left to clean up, as a sentence; null after a clean stop. */
  recovered: string | null;
  /** Fast shutdown: ends all connections. Also releases the data directory. */
  stop(): Promise<void>;
};

/** Starts Postgres on a data directory, as its only user. Throws an `EmbeddedPostgresError` with a hint. */
export async function startEmbeddedPostgres(options: StartOptions): Promise<EmbeddedPostgres> {
  options.signal?.throwIfAborted();
  const binaries = findBinaries();
  const data_dir = prepareDataDir(options.data_dir);
  const ownership = claimDataDirectory(data_dir);
  try {
    return await startAsOwner(options, binaries, data_dir, ownership);
  } catch (error) {
    ownership.release();
    options.signal?.throwIfAborted();
    throw fileSystemError('use the data directory', data_dir, error);
  }
}

async function startAsOwner(
  options: StartOptions,
  binaries: Binaries,
  data_dir: string,
  ownership: Ownership,
): Promise<EmbeddedPostgres> {
  const { log, signal } = options;
  const current = currentAccount();
  const account = clusterAccount(current, data_dir, clusterOwner(data_dir));
  const library_path = linkLibraries(binaries, data_dir);
  const drops_root = current.uid === 0;
  const { run_as, version } = await findRunAs({ account, drops_root, data_dir, binaries, library_path, log, signal });
  const { cluster_dir, exists } = inspectClusters(data_dir, version);
  const cluster_name = `flotilla-${hashOf(data_dir)}`;
  const socket_dir = prepareSocketDir(data_dir, account);

  const orphans = await stopOrphans(cluster_dir, cluster_name, signal);
  await clearSocket(socket_dir, data_dir, signal);
  const unfinished = removeUnfinished(cluster_dir);
  if (!exists) await initCluster(run_as, binaries, cluster_dir, signal);

  const access = writeAccessFiles(data_dir, [current, account]);
  const settings = settingArgs({ cluster_name, port: PORT, socket_dir, ...access }, options.settings ?? {});
  const postmaster = await launch(run_as, [binaries.postgres, '-D', cluster_dir, ...settings], cluster_dir, options);
  // Whoever restarts us after a crash of Postgres alone must find the directory free.
  const exited = postmaster.exited.then((exit) => {
    removeSpareSocketDir(data_dir, socket_dir);
    ownership.release();
    return exit;
  });
  const recovered = orphans ?? describeCrash(ownership, unfinished);
  return describe(socket_dir, exited, recovered, async () => {
    await postmaster.stop();
    await exited;
  });
}

async function launch(
  run_as: RunAs,
  command: [string, ...string[]],
  cluster_dir: string,
  options: StartOptions,
): Promise<Postmaster> {
  const [program, ...args] = command;
  const postmaster = watchPostmaster(spawnAs(run_as, 'INT', program, args), options.log);
  try {
    await waitUntilReady(postmaster, cluster_dir, options.signal);
    return postmaster;
  } catch (error) {
    await postmaster.stop();
    throw error;
  }
}

function describeCrash(ownership: Ownership, unfinished: boolean): string | null {
  if (unfinished) return 'Removed a cluster that an interrupted start had left unfinished.';
  if (ownership.crashed_pid === null) return null;
  return `Took over from a coordinator (pid ${ownership.crashed_pid}) that ended without releasing the data directory.`;
}

function describe(
  socket_dir: string,
  exited: Promise<PostmasterExit>,
  recovered: string | null,
  stop: () => Promise<void>,
): EmbeddedPostgres {
  return {
    socket_dir,
    port: PORT,
    user: 'postgres',
    connection: (database) => ({ host: socket_dir, port: PORT, user: 'postgres', database }),
    url: (database) => `postgres://postgres@${encodeURIComponent(socket_dir)}:${PORT}/${encodeURIComponent(database)}`,
    exited,
    recovered,
    stop,
  };
}
