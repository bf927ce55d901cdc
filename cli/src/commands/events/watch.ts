import type { Event } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import type { Format } from '../../output/format.ts';
import { oneLine } from '../../output/sanitize.ts';
import { openSession } from '../../session.ts';
import { watchEvents } from '../../watch/events.ts';
import { collect, examples, wholeNumber } from '../options.ts';

const describe = (event: Event): string => {
  const summary = Object.entries(event.summary).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return oneLine([event.at, event.type.padEnd(20), String(event.entity_id).padEnd(6), ...summary].join(' ').trimEnd());
};

/** One event is one line (or one YAML document), so that a pipe can read while the stream goes on. */
const render = async (event: Event, format: Format): Promise<string> => {
  if (format === 'json') return `${JSON.stringify(event)}\n`;
  if (format === 'name') return `${oneLine(event.type)} ${event.entity_id}\n`;
  if (format !== 'yaml') return `${describe(event)}\n`;
  const { stringify } = await import('yaml');
  return `---\n${stringify(event)}`;
};

export const addEventsWatch = (events: Command, cli: Cli): void => {
  const command = events
    .command('watch')
    .description('Follow changes as they happen, until Ctrl-C; reconnects and misses nothing');
  examples(command, 'events watch', 'events watch --types task,agent --json | jq .type', 'events watch --since 1200')
    .option('--types <types>', 'only these: task means task.* (repeatable)', collect)
    .option('--since <seq>', 'first replay what came after this event', wholeNumber(0))
    .action(async ({ types, since }: { types?: string[]; since?: number }, self: Command) => {
      const session = await openSession(cli, self);
      await watchEvents(session, {
        types: types?.join(','),
        since,
        onEvent: async (event) => session.out.text(await render(event, session.out.format)),
      });
    });
};
