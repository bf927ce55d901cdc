import { agentRoles, apiTokenRoles, CreateApiToken, CreateJoinToken } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { usageError } from '../../exit.ts';
import { showWhen } from '../../output/format.ts';
import { checkInput, openSession, type Session } from '../../session.ts';
import { collect, duration, examples, mutates, oneOf, wholeNumber } from '../options.ts';
import { createJoinToken, type IssuedToken, requireSecret } from './issue.ts';

type Options = {
  join?: boolean;
  name?: string;
  role?: string;
  expires?: number;
  tag?: string[];
  slots?: number;
  namePattern?: string;
};

/** For people only the secret is data, so that `TOKEN=$(flotilla tokens create …)` holds just it. */
const print = async (session: Session, issued: IssuedToken, what: string): Promise<void> => {
  const secret = requireSecret(issued);
  if (session.out.format === 'name') return session.out.text(`${issued.id}\n`);
  await session.out.value(issued, () => secret);
  const expires =
    issued.expires_at === null ? 'never expires' : `expires ${showWhen(issued.expires_at, session.cli.now())}`;
  session.say(`Created ${what} ${issued.id}; it ${expires} and is not shown again.`);
};

const createApi = async (session: Session, options: Options): Promise<void> => {
  const { name, role } = options;
  if (name === undefined || role === undefined) {
    throw usageError('An API token needs --name and --role.', 'Or use --join for a token that lets one host join.');
  }
  const given = (['tag', 'slots', 'namePattern'] as const).find((option) => options[option] !== undefined);
  if (given !== undefined)
    throw usageError(`--${given === 'namePattern' ? 'name-pattern' : given} is for join tokens.`, 'Add --join.');
  const body = checkInput(CreateApiToken, { name, role: oneOf(apiTokenRoles)(role), expires_in_s: options.expires });
  await print(session, await session.client.api_tokens.create({ body }, session.creation()), 'API token');
};

const createJoin = async (session: Session, options: Options): Promise<void> => {
  if (options.name !== undefined) throw usageError('--name is for API tokens.', 'For join tokens use --name-pattern.');
  const role = options.role === undefined ? undefined : oneOf(agentRoles)(options.role);
  const body = checkInput(CreateJoinToken, {
    expires_in_s: options.expires,
    tags: options.tag,
    role,
    slots: options.slots,
    name_pattern: options.namePattern,
  });
  await print(session, await createJoinToken(session, body), 'join token');
};

export const addTokensCreate = (tokens: Command, cli: Cli): void => {
  const command = tokens
    .command('create')
    .description('Create an API token for a person or program, or a join token for one host');
  examples(
    mutates(command),
    'tokens create --name ci --role operator --expires 30d',
    'tokens create --join --tag gpu --slots 4 --expires 1h',
    'tokens create --name me --role admin > token.txt',
  )
    .option('--join', 'a one-time token that lets one host join')
    .option('--name <name>', 'name of an API token')
    .option('--role <role>', `${apiTokenRoles.join(', ')}; with --join: ${agentRoles.join(', ')}`)
    .option('--expires <duration>', 'default: never; with --join: 1h', duration)
    .option('--tag <tag>', 'scheduling tag the agent gets (repeatable, with --join)', collect)
    .option('--slots <n>', 'most tasks at a time (with --join)', wholeNumber(1))
    .option('--name-pattern <glob>', "glob that the agent's name must match (with --join)")
    .action(async (options: Options, self: Command) => {
      const session = await openSession(cli, self);
      await (options.join === true ? createJoin : createApi)(session, options);
    });
};
