import { join } from 'node:path';

import type { Executor, ExecutorPaths, PlannedFile } from '../executor.ts';
import { type JsonObject, objectAt } from './base-config.ts';
import type { OpenClaw } from './find.ts';

const CONFIG = 'openclaw.json';
const SOUL = 'SOUL.md';
/** `--timeout` is no hard limit: with a model that hangs, 8 s took 19. TERM comes this much later. */
const TIMEOUT_GRACE_MS = 30_000;

/** The host's configuration with exactly one agent in it. Keys stay ${NAME}: OpenClaw fills them from its environment. */
const composeConfig = ({ base, model }: OpenClaw, task_model: string | null, paths: ExecutorPaths): JsonObject => ({
  ...base,
  update: { ...objectAt(base, 'update'), checkOnStart: false },
  telemetry: { ...objectAt(base, 'telemetry'), enabled: false },
  agents: {
    ownership: 'explicit',
    defaults: {
      ...objectAt(objectAt(base, 'agents'), 'defaults'),
      model: task_model === null ? model : { primary: task_model },
      workspace: paths.workdir,
      systemAgent: { agentId: 'main' },
      heartbeat: { every: '0m' },
    },
    entries: { main: {} },
  },
});

/**
 * A quiet run that shares nothing with another one or with the person's own OpenClaw. State above all: after a 401
 * OpenClaw refuses the provider for a minute to everyone with the same state.
 */
const isolatedEnv = ({ path }: OpenClaw, compile_cache: string, { private_dir }: ExecutorPaths) => ({
  PATH: path,
  OPENCLAW_HOME: private_dir,
  OPENCLAW_STATE_DIR: join(private_dir, 'state'),
  OPENCLAW_CONFIG_PATH: join(private_dir, CONFIG),
  OPENCLAW_NO_AUTO_UPDATE: '1',
  OPENCLAW_NO_RESPAWN: '1',
  OPENCLAW_DISABLE_BONJOUR: '1',
  OPENCLAW_SKIP_CHANNELS: '1',
  OPENCLAW_SKIP_CRON: '1',
  OPENCLAW_EXEC_SHELL_SNAPSHOT: '0',
  OPENCLAW_HIDE_BANNER: '1',
  // Else every OpenClaw of the user writes into one file below /tmp, whatever its configuration says.
  OPENCLAW_LOG_LEVEL: 'silent',
  NO_COLOR: '1',
  DO_NOT_TRACK: '1',
  // In TMPDIR by default, so empty for every task: a start would take half as long again.
  NODE_COMPILE_CACHE: compile_cache,
});

/** Runs one turn of OpenClaw per task: `openclaw agent exec` in the workdir, the prompt on stdin, JSON on stdout. */
export const createOpenClawExecutor = (openclaw: OpenClaw, compile_cache: string): Executor => ({
  name: 'openclaw',
  about: { openclaw: openclaw.version },
  prepare: (task, paths) => {
    const config = JSON.stringify(composeConfig(openclaw, task.model, paths), null, 2);
    const files: PlannedFile[] = [{ place: 'private', name: CONFIG, content: `${config}\n` }];
    const soul = typeof task.metadata.soul === 'string' ? task.metadata.soul : openclaw.soul;
    if (soul !== null) files.push({ place: 'workdir', name: SOUL, content: soul });
    const turn = ['--message-file', '-', '--cwd', paths.workdir, '--config', join(paths.private_dir, CONFIG)];
    return {
      argv: [openclaw.bin, 'agent', 'exec', ...turn, '--json', '--timeout', String(task.timeout_s)],
      stdin: 'prompt',
      env: isolatedEnv(openclaw, compile_cache, paths),
      env_file: openclaw.env_file ?? undefined,
      files,
      timeout_grace_ms: TIMEOUT_GRACE_MS,
    };
  },
});
