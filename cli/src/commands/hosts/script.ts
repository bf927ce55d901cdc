import { shellQuote } from '../../output/shell.ts';

export type HostScript = {
  url: string;
  token: string;
  name: string | null;
  slots: number;
  /** argv of the `command` executor as JSON. */
  command: string;
  repo: string;
};

// The host's own name, in the form that agent names have.
const OWN_NAME = `"$(hostname | cut -d. -f1 | tr 'A-Z' 'a-z')"`;

/** The lines to paste on a host. Everything is chained: a step that fails ends it, and nothing is started half installed. */
export const hostScript = ({ url, token, name, slots, command, repo }: HostScript): string => {
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
    'FLOTILLA_EXECUTOR=command \\',
    `FLOTILLA_COMMAND=${shellQuote(command)} \\`,
    'node agentd/dist/main.js',
  ].join('\n');
};
