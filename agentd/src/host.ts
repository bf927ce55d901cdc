import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { arch, hostname, platform, release } from 'node:os';

/** What does not change while this host is up. */
export type Host = {
  boot_id: string;
  /** Null where nothing tells this machine from another: a container has no id, and its name changes with every start. */
  machine_id: string | null;
  hostname: string;
  platform: string;
};

const firstLine = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8').trim() || null;
  } catch {
    return null; // not Linux, or a container without it
  }
};

/** Reads who this host is. `boot_id` is empty where the system has none: then pid and start time alone decide. */
export const readHost = (): Host => {
  const machine = firstLine('/etc/machine-id') ?? firstLine('/var/lib/dbus/machine-id');
  return {
    boot_id: firstLine('/proc/sys/kernel/random/boot_id') ?? '',
    // machine-id(5): the raw value is not for the network.
    machine_id: machine && createHash('sha256').update(`flotilla:${machine}`).digest('hex').slice(0, 32),
    hostname: hostname(),
    platform: `${platform()} ${release()} ${arch()}`,
  };
};
