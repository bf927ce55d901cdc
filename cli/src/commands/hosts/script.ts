import { shellQuote } from '../../output/shell.ts';

/** What runs the tasks: a command (its argv as JSON), or the OpenClaw of the host with files of the host. */
export type HostExecutor =
  | { name: 'command'; command: string }
  | { name: 'openclaw'; config: string | null; env_file: string | null };

export type HostScript = {
  url: string;
  token: string;
  name: string | null;
  slots: number;
  executor: HostExecutor;
  repo: string;
};

// The host's own name, in the form that agent names have.
const OWN_NAME = `"$(hostname | cut -d. -f1 | tr 'A-Z' 'a-z')"`;

const executorLines = (executor: HostExecutor): string[] => {
  if (executor.name === 'command')
    return ['FLOTILLA_EXECUTOR=command \\', `FLOTILLA_COMMAND=${shellQuote(executor.command)} \\`];
  const { config, env_file } = executor;
  return [
    'FLOTILLA_EXECUTOR=openclaw \\',
    `FLOTILLA_OPENCLAW_CONFIG=${config === null ? '"$HOME"/.openclaw/openclaw.json' : shellQuote(config)} \\`,
    ...(env_file === null ? [] : [`FLOTILLA_OPENCLAW_ENV_FILE=${shellQuote(env_file)} \\`]),
  ];
};

/** The lines to paste on a host. Everything is chained: a step that fails ends it, and nothing is started half installed. */
export const hostScript = ({ url, token, name, slots, executor, repo }: HostScript): string => {
  const state = `"$HOME"/.local/state/flotilla/${shellQuote(name ?? 'agent')}`;
  const tokenFile = `${state}.join-token`;
  return [
    `git clone ${shellQuote(repo)} flotilla && cd flotilla && make build &&`,
    // umask and rm: neither a default mode nor an older file may leave the token readable to others.
    `(umask 077 && mkdir -p ${state} && rm -f ${tokenFile} && printf '%s\\n' ${shellQuote(token)} > ${tokenFile}) &&`,
    `FLOTILLA_URL=${shellQuote(url)} \\`,
    `FLOTILLA_JOIN_TOKEN_FILE=${tokenFile} \\`,
    `FLOTILLA_STATE_DIR=${state} \\`,
    `FLOTILLA_AGENT_NAME=${name === null ? OWN_NAME : shellQuote(name)} \\`,
    `FLOTILLA_SLOTS=${slots} \\`,
    ...executorLines(executor),
    'node agentd/dist/main.js',
  ].join('\n');
};
