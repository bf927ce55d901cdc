import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { EmbeddedPostgresError } from './error.ts';

export type Account = { name: string; uid: number; gid: number };

/** Who may own a new cluster when root starts the coordinator, the best first. */
const UNPRIVILEGED = ['flotilla', 'postgres', 'nobody'];

/** The user this process runs as. Peer authentication needs its name. */
export function currentAccount(): Account {
  try {
    const { username, uid, gid } = userInfo();
    return { name: username, uid, gid };
  } catch (cause) {
    const message = `The user id ${process.getuid?.()} has no entry in /etc/passwd, and Postgres refuses to run without one.`;
    throw new EmbeddedPostgresError(message, 'Run as a listed user, or set DATABASE_URL to use your own Postgres.', {
      cause,
    });
  }
}

/** The user Postgres runs as: ourselves, or (it refuses root) an unprivileged user when we are root. */
export function clusterAccount(current: Account, cluster_dir: string, cluster_uid: number | null): Account {
  if (current.uid !== 0) {
    if (cluster_uid === null || cluster_uid === current.uid) return current;
    const message = `The cluster ${cluster_dir} belongs to the user id ${cluster_uid}, and the coordinator runs as ${current.name}.`;
    throw new EmbeddedPostgresError(
      message,
      'Start the coordinator as that user or as root, or set FLOTILLA_DATA_DIR to another directory.',
    );
  }
  if (cluster_uid === 0) {
    const message = `The cluster ${cluster_dir} belongs to root, and Postgres refuses to run as root.`;
    throw new EmbeddedPostgresError(message, `Give it to an unprivileged user: chown -R nobody '${cluster_dir}'.`);
  }
  // A cluster that exists keeps its owner, whoever starts the coordinator today.
  const wanted = cluster_uid === null ? UNPRIVILEGED : [String(cluster_uid)];
  for (const key of wanted) {
    const account = lookUp(key);
    if (account !== null && account.uid !== 0) return account;
  }
  const message = `Postgres refuses to run as root, and there is no user ${wanted.join(', ')} to run it as.`;
  throw new EmbeddedPostgresError(
    message,
    'Create a user named flotilla (useradd --system flotilla), or start the coordinator as an ordinary user.',
  );
}

/** Looks up a name or a numeric uid. */
function lookUp(key: string): Account | null {
  const line = findLine(readFileSync('/etc/passwd', 'utf8'), key) ?? findLine(askNameService(key), key);
  const [name, , uid, gid] = line?.split(':') ?? [];
  if (name === undefined || uid === undefined || gid === undefined) return null;
  // macOS writes the ids of nobody as -2.
  return { name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 };
}

function findLine(passwd: string, key: string): string | undefined {
  return passwd.split('\n').find((line) => {
    const [name, , uid] = line.split(':');
    return name === key || (uid !== undefined && uid === key);
  });
}

/** Users that come from LDAP or systemd are not in /etc/passwd. */
function askNameService(key: string): string {
  try {
    return execFileSync('getent', ['passwd', key], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}
