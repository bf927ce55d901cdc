import { EmbeddedPostgresError } from './error.ts';

/** Chosen for a small machine; fsync and synchronous_commit are Postgres' own defaults, spelled out because all rests on them. */
const DEFAULTS: Record<string, string> = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  max_connections: '100',
  shared_buffers: '128MB',
  work_mem: '8MB',
  maintenance_work_mem: '64MB',
  effective_cache_size: '512MB',
  random_page_cost: '1.1',
  // No I/O worker processes: they cost memory, and these databases fit the cache.
  io_method: 'sync',
  jit: 'off',
  // Plans outlive what they were made for: one of a foreign key's check, made while its table was empty, read all of it
  // for every row that a claim wrote afterwards (88 µs each with 512 agents, 5 µs through the index). Whatever we ask has
  // an index. Only here, for Postgres before 18 adds a cost so large that it no longer tells good plans from bad ones.
  enable_seqscan: 'off',
  // A forgotten transaction holds back vacuum, and the hot tables bloat within minutes.
  idle_in_transaction_session_timeout: '60s',
  autovacuum_naptime: '10s',
  autovacuum_vacuum_scale_factor: '0.02',
  autovacuum_vacuum_insert_scale_factor: '0.05',
  autovacuum_analyze_scale_factor: '0.02',
  autovacuum_vacuum_cost_delay: '1ms',
  min_wal_size: '128MB',
  max_wal_size: '1GB',
  wal_compression: 'on',
  checkpoint_timeout: '10min',
  max_wal_senders: '4',
  log_checkpoints: 'off',
  log_line_prefix: '[%p] ',
  log_timezone: 'UTC',
  TimeZone: 'UTC',
};

export type Placement = {
  cluster_name: string;
  port: number;
  socket_dir: string;
  hba_file: string;
  ident_file: string;
};

/** The command line settings of the postmaster. Where it listens and whom it lets in is not for `overrides`. */
export function settingArgs(placement: Placement, overrides: Record<string, string>): string[] {
  const fixed: Record<string, string> = {
    listen_addresses: '',
    port: String(placement.port),
    unix_socket_directories: `"${placement.socket_dir.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    hba_file: placement.hba_file,
    ident_file: placement.ident_file,
    // It heads the title of every backend, by which a later start finds what a killed postmaster left behind.
    cluster_name: placement.cluster_name,
    logging_collector: 'off',
    log_destination: 'stderr',
  };
  for (const name of Object.keys(overrides)) {
    if (!(name in fixed)) continue;
    throw new EmbeddedPostgresError(
      `The setting ${name} of the embedded Postgres cannot be changed.`,
      'Remove it, or set DATABASE_URL to use your own Postgres.',
    );
  }
  const settings = { ...DEFAULTS, ...overrides, ...fixed };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
