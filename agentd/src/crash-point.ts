/**
 * Places where a crash used to be interesting, in the order of one task's life. Tests kill agentd at each of them and
 * demand that the next start ends in the same result. A label fires at its first pass, which is the process's last.
 */
export const crashLabels = [
  'register.secret_written',
  'register.answered',
  'identity.written',
  'claim.journaled',
  'claim.answered',
  'attempt.journaled',
  'claim.cleared',
  'attempt.prepared',
  'shim.spawned',
  'shim.seen',
  'attempt.started',
  'beat.sent',
  'log.uploaded',
  'exit.seen',
  'tree.swept',
  'attachment.sent',
  'attachments.settled',
  'report.written',
  'report.sent',
  'report.acked',
  'log.finished',
  'attempt.trashed',
  'attempt.forgotten',
] as const;
export type CrashLabel = (typeof crashLabels)[number];

export type CrashPoint = (label: CrashLabel) => void;

/** Kills this process with SIGKILL at one label, as FLOTILLA_CRASH_AT says; nothing at the others. */
export const createCrashPoint =
  (crash_at: CrashLabel | null): CrashPoint =>
  (label) => {
    if (label !== crash_at) return;
    process.kill(process.pid, 'SIGKILL');
    // The signal may arrive a moment later; nothing after a crash point may run.
    for (;;);
  };
