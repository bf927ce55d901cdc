import { createHash } from 'node:crypto';
import { join } from 'node:path';

/** Where things are below the state directory; the README of this folder lists what each file means. */
export const statePaths = (state_dir: string) => ({
  root: state_dir,
  lock: join(state_dir, 'agentd.lock'),
  secret: join(state_dir, 'secret'),
  identity: join(state_dir, 'identity.json'),
  claim: join(state_dir, 'claim.json'),
  applied: join(state_dir, 'applied.json'),
  shim: join(state_dir, 'shim.sh'),
  attempts: join(state_dir, 'attempts'),
  work: join(state_dir, 'work'),
  dead_letter: join(state_dir, 'dead-letter'),
  compile_cache: join(state_dir, 'compile-cache'),
  /** Tells the marks of two agentds on one host apart. */
  mark: createHash('sha256').update(state_dir).digest('hex').slice(0, 12),
});
export type StatePaths = ReturnType<typeof statePaths>;

/** The files of one attempt: they are the journal, nothing about an attempt lives elsewhere. */
export const attemptPaths = (paths: StatePaths, key: string) => {
  const dir = join(paths.attempts, key);
  return {
    dir,
    record: join(dir, 'attempt.json'),
    prompt: join(dir, 'prompt'),
    token: join(dir, 'token'),
    tmp: join(dir, 'tmp'),
    private: join(dir, 'private'),
    launch: join(dir, 'launch.json'),
    shim_pid: join(dir, 'shim.pid'),
    child_pid: join(dir, 'child.pid'),
    stdout: join(dir, 'stdout'),
    stderr: join(dir, 'stderr'),
    exit: join(dir, 'exit'),
    intent: join(dir, 'intent.json'),
    lease: join(dir, 'lease.json'),
    uploaded: join(dir, 'uploaded.json'),
    report: join(dir, 'report.json'),
    acked: join(dir, 'acked'),
    attached: join(dir, 'attached'),
    workdir: join(paths.work, key),
    attachments: join(paths.work, key, 'attachments'),
  };
};
export type AttemptPaths = ReturnType<typeof attemptPaths>;
