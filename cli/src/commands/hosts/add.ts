import { CreateJoinToken, Name } from '@flotilla/shared';
import { type Command, Option } from 'commander';
import { z } from 'zod';

import type { Cli } from '../../cli.ts';
import { usageError } from '../../exit.ts';
import { showWhen } from '../../output/format.ts';
import { checkInput, openSession, type Session } from '../../session.ts';
import { collect, duration, examples, mutates, wholeNumber } from '../options.ts';
import { createJoinToken, requireSecret } from '../tokens/issue.ts';
import { type HostExecutor, hostScript } from './script.ts';

type Options = {
  name?: string;
  tag?: string[];
  slots?: number;
  expires?: number;
  executor: 'command' | 'openclaw';
  command?: string;
  openclawConfig?: string;
  openclawEnvFile?: string;
  repo?: string;
};

// Until a release can be fetched by name, only the person who pastes knows where their copy is.
const UNKNOWN_REPO = 'REPOSITORY_URL';

const SAMPLE = '["cat","{prompt_file}"]';

const checkCommand = (text: string): string => {
  try {
    return JSON.stringify(z.array(z.string().min(1)).min(1).parse(JSON.parse(text)));
  } catch {
    throw usageError('--command is not a JSON array of words.', `Write it like --command '["my-agent","--quiet"]'.`);
  }
};

/** The executor with its own options; those of the other one are a mistake, not a preference. */
const readExecutor = (options: Options): HostExecutor => {
  const { executor, command, openclawConfig, openclawEnvFile } = options;
  if (executor === 'openclaw') {
    if (command !== undefined) throw usageError('--command is not for --executor openclaw.', 'Leave one of them out.');
    return { name: 'openclaw', config: openclawConfig ?? null, env_file: openclawEnvFile ?? null };
  }
  if (openclawConfig !== undefined || openclawEnvFile !== undefined)
    throw usageError('--openclaw-config and --openclaw-env-file need --executor openclaw.', 'Add it.');
  return { name: 'command', command: checkCommand(command ?? SAMPLE) };
};

const isLoopback = (url: string): boolean =>
  /^(localhost|.*\.localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\])$/.test(new URL(url).hostname);

const warn = (session: Session, options: Options): void => {
  const { url } = session.connection;
  if (isLoopback(url)) {
    session.say(
      `Warning: ${url} is this machine only; other hosts cannot reach it. Log in with an address that they can reach, or paste this here.`,
    );
  } else if (url.startsWith('http:')) {
    session.say(`Warning: ${url} is not encrypted; agentd refuses it unless you add FLOTILLA_INSECURE=1.`);
  }
  if (options.repo === undefined)
    session.say(`Put the address you clone Flotilla from in place of ${UNKNOWN_REPO}, or repeat with --repo.`);
};

const explain = (session: Session, options: Options, expires_at: string): void => {
  session.say('Paste these lines on the host. It needs Node 20.19 or newer, git and make.');
  session.say(
    `The join token works once and expires ${showWhen(expires_at, session.cli.now())}; it is not shown again.`,
  );
  if (options.executor === 'openclaw') {
    session.say('The host also needs OpenClaw (npm i -g openclaw) with a model, and Node 24.16 or newer for it.');
    if (options.openclawEnvFile === undefined)
      session.say('Its ${NAME} keys come from the file that FLOTILLA_OPENCLAW_ENV_FILE names: --openclaw-env-file.');
  } else if (options.command === undefined)
    session.say(`FLOTILLA_COMMAND is a sample (${SAMPLE}); give the command of your agent with --command.`);
  warn(session, options);
};

export const addHostsAdd = (hosts: Command, cli: Cli): void => {
  const command = hosts
    .command('add')
    .description('Create a join token and print the lines that turn a host into an agent');
  examples(
    mutates(command),
    'hosts add --name build-3 --slots 4 --tag linux',
    `hosts add --repo https://git.example.org/flotilla.git --command '["my-agent"]'`,
    'hosts add --executor openclaw --openclaw-env-file /etc/flotilla/keys.env',
  )
    .option('--name <name>', "the agent's name; the token is good for no other (default: the host's name)")
    .option('--tag <tag>', 'scheduling tag (repeatable)', collect)
    .option('--slots <n>', 'tasks at a time (default 1)', wholeNumber(1))
    .option('--expires <duration>', 'how long the token can be used (default 1h)', duration)
    .addOption(
      new Option('--executor <name>', 'what runs the tasks').choices(['command', 'openclaw']).default('command'),
    )
    .option('--command <json>', `what runs a task, as a JSON array (default ${SAMPLE})`)
    .option('--openclaw-config <path>', "OpenClaw's configuration on the host (default ~/.openclaw/openclaw.json)")
    .option('--openclaw-env-file <path>', "KEY=VALUE file on the host with OpenClaw's keys")
    .option('--repo <url>', 'where the host clones Flotilla from')
    .action(async (options: Options, self: Command) => {
      const executor = readExecutor(options);
      if (options.name !== undefined) checkInput(z.object({ '--name': Name }), { '--name': options.name });
      const body = {
        expires_in_s: options.expires,
        tags: options.tag,
        slots: options.slots,
        name_pattern: options.name,
      };
      const session = await openSession(cli, self);
      const issued = await createJoinToken(session, checkInput(CreateJoinToken, body));
      const token = requireSecret(issued);
      if (session.out.format === 'name') return session.out.text(`${issued.id}\n`);
      explain(session, options, issued.expires_at);
      const script = {
        url: session.connection.url,
        token,
        name: options.name ?? null,
        slots: options.slots ?? 1,
        executor,
        repo: options.repo ?? UNKNOWN_REPO,
      };
      await session.out.value(issued, () => hostScript(script));
    });
};
