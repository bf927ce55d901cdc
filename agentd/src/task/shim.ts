import { readIfPresent, writeDurable } from '../local/files.ts';
import type { AttemptPaths } from '../local/paths.ts';
import type { ProcessId } from './process.ts';

/**
 * The parent of one executor, in POSIX sh so that it costs 1 MB and nothing can upgrade it away under a running task.
 *
 * - Its first act takes `shim.pid` by link(2): of two shims for one attempt the second ends at once.
 * - Output goes through pipes to two `cat >>`: on a plain file a child's `echo x >/dev/stderr` would truncate the log.
 * - TERM, INT and HUP are trapped, not ignored (that would be inherited); the writers ignore them until their pipes end.
 * - The executor runs in the foreground: in the background a shell would make it ignore INT for good.
 * - `exit` appears when the executor has ended; the shim itself ends when the pipes are drained, and then the log is whole.
 */
const SHIM = `#!/bin/sh
# Flotilla: runs one attempt. sh shim.sh ATTEMPT_DIR WORKDIR STDIN MARK COMMAND [ARG...]
trap : TERM INT HUP
umask 077
set -f
dir=$1 work=$2 input=$3 mark=$4
shift 4

start_time() {
  if read -r line 2>/dev/null </proc/$$/stat; then
    set -- \${line##*) }
    shift 19
    echo "$1"
  else
    ps -o lstart= -p $$
  fi
}

keep() {
  trap '' TERM INT HUP
  exec cat >>"$1" 2>/dev/null
}

run() {
  trap : TERM INT HUP
  # A subshell, because dash would print "Killed" into the executor's own stderr otherwise.
  (
    export FLOTILLA_ATTEMPT="$mark"
    unset FLOTILLA_SHIM
    exec sh -c 'echo $$ >"$0"; exec "$@"' "$dir/child.pid" "$@"
  ) <"$input" >&3 2>&4 3>&- 4>&-
  code=$?
  exec 3>&- 4>&-
  echo "$code" >"$dir/exit.tmp" || return
  sync "$dir/exit.tmp" || sync
  mv "$dir/exit.tmp" "$dir/exit"
}

echo "$$ $(start_time)" >"$dir/shim.pid.$$" || exit 98
ln "$dir/shim.pid.$$" "$dir/shim.pid" || { rm -f "$dir/shim.pid.$$"; exit 97; }
rm -f "$dir/shim.pid.$$"
cd "$work" || exit 96

{
  trap : TERM INT HUP
  { run "$@" 4>&1 >/dev/null 2>&1; } | keep "$dir/stderr" 3>&-
} 3>&1 | keep "$dir/stdout"
`;

/** Puts the shim where every attempt can run it. A running shim keeps the file it was started from: rename, never rewrite. */
export const installShim = async (path: string): Promise<void> => {
  if ((await readIfPresent(path)) !== SHIM) await writeDurable(path, SHIM);
};

/** Who the attempt's shim is; null before its first act. */
export const readShimPid = async (files: AttemptPaths): Promise<ProcessId | null> => {
  const raw = await readIfPresent(files.shim_pid);
  const [, pid, start] = /^(\d+) (.*?)\s*$/.exec(raw ?? '') ?? [];
  return pid === undefined || start === undefined ? null : { pid: Number(pid), start };
};

type ShimStart = {
  shim: string;
  files: AttemptPaths;
  input: string;
  mark: string;
  argv: readonly string[];
  env: Record<string, string>;
};

/**
 * Starts the shim in a session of its own and forgets it: it survives agentd. Resolves when this shim process ends,
 * with the error when it could not even be started.
 */
export const spawnShim = async ({
  shim,
  files,
  input,
  mark,
  argv,
  env,
}: ShimStart): Promise<{ ended: Promise<Error | null> }> => {
  // Loaded at the first task: an idle daemon does not pay for it.
  const { execa } = await import('execa');
  const child = execa('sh', [shim, files.dir, files.workdir, input, mark, ...argv], {
    env: { ...env, FLOTILLA_SHIM: mark },
    extendEnv: false,
    detached: true,
    cleanup: false,
    stdio: 'ignore',
    buffer: false,
    reject: false,
    cwd: '/',
  });
  child.unref();
  const ended = child.then((result) =>
    result.failed && result.exitCode === undefined && result.signal === undefined
      ? new Error(result.shortMessage)
      : null,
  );
  return { ended };
};
