import type { Attachment } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { CliError, usageError } from '../../exit.ts';
import { paginate } from '../../paginate.ts';
import { taskId } from '../../resolve.ts';
import { openSession, type Session } from '../../session.ts';
import { saveBody } from '../../watch/save.ts';
import { examples } from '../options.ts';

/** By number, or by name: the newest of that name. */
const findFile = async (session: Session, id: number, ref: string): Promise<Attachment> => {
  const { rows } = await paginate(
    async (query) => {
      const answer = await session.client.attachments.list({ params: { id }, query });
      return { rows: answer.attachments, next_cursor: answer.next_cursor };
    },
    { all: true },
  );
  const found = rows.find(({ name }) => name === ref) ?? rows.find((file) => String(file.id) === ref.replace(/^#/, ''));
  if (found !== undefined) return found;
  throw new CliError('failed', `TASK-${id} has no file "${ref}".`, {
    code: 'not_found',
    hint: `\`flotilla tasks attachments ${id}\` shows them.`,
  });
};

export const addTasksDownload = (tasks: Command, cli: Cli): void => {
  const command = tasks
    .command('download <task> <file>')
    .description('Save a file left with a result, by name or number; an existing file is never overwritten');
  examples(command, 'tasks download TASK-12 report.pdf', 'tasks download 12 3 --out - | less')
    .option('--out <path>', 'where to; - is stdout (default: its own name, here)')
    .action(async (ref: string, given: string, { out }: { out?: string }, self: Command) => {
      const id = taskId(ref);
      const session = await openSession(cli, self);
      const file = await findFile(session, id, given);
      if (out === undefined && /^[.-]|[/\\]/.test(file.name))
        throw usageError(`"${file.name}" is not a name to save under unseen.`, 'Say where to with --out.');
      const path = out ?? file.name;
      const params = { id, attachment_id: file.id };
      const ask = () => session.client.attachments.download({ params }, { signal: session.signal });
      await saveBody(session, ask, path === '-' ? null : path);
      if (path !== '-') session.say(`Saved ${path} (${file.size} bytes).`);
    });
};
