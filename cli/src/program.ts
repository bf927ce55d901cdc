import { Command, Option } from 'commander';

import type { Cli } from './cli.ts';
import { addAdminBackup } from './commands/admin/backup.ts';
import { addAdminCheck } from './commands/admin/check.ts';
import { addAdminRestore } from './commands/admin/restore.ts';
import { addAgentsDelete } from './commands/agents/delete.ts';
import { addAgentsDrain } from './commands/agents/drain.ts';
import { addAgentsGet } from './commands/agents/get.ts';
import { addAgentsList } from './commands/agents/list.ts';
import { addAgentsResume } from './commands/agents/resume.ts';
import { addAgentsWhy } from './commands/agents/why.ts';
import { addApi } from './commands/api/call.ts';
import { addAuditList } from './commands/audit/list.ts';
import { addConfigCurrent } from './commands/config/current.ts';
import { addConfigDelete } from './commands/config/delete.ts';
import { addConfigList } from './commands/config/list.ts';
import { addConfigPath } from './commands/config/path.ts';
import { addConfigUse } from './commands/config/use.ts';
import { addEventsWatch } from './commands/events/watch.ts';
import { addExpiryRelease, addExpiryShow } from './commands/expiry/expiry.ts';
import { addHostsAdd } from './commands/hosts/add.ts';
import { addLogin } from './commands/login/login.ts';
import { examples } from './commands/options.ts';
import { addQueuePoll } from './commands/queue/poll.ts';
import { addStatus } from './commands/status/show.ts';
import { addTasksActivity } from './commands/tasks/activity.ts';
import { addTasksAnswer } from './commands/tasks/answer.ts';
import { addTasksApprove } from './commands/tasks/approve.ts';
import { addTasksAssign } from './commands/tasks/assign.ts';
import { addTasksAttachments } from './commands/tasks/attachments.ts';
import { addTasksAttempts } from './commands/tasks/attempts.ts';
import { addTasksBulk } from './commands/tasks/bulk.ts';
import { addTasksCancel } from './commands/tasks/cancel.ts';
import { addTasksComment } from './commands/tasks/comment.ts';
import { addTasksCreate } from './commands/tasks/create.ts';
import { addTasksDelete } from './commands/tasks/delete.ts';
import { addTasksDeleteComment } from './commands/tasks/delete-comment.ts';
import { addTasksDownload } from './commands/tasks/download.ts';
import { addTasksDuplicate } from './commands/tasks/duplicate.ts';
import { addTasksEdit } from './commands/tasks/edit.ts';
import { addTasksEditComment } from './commands/tasks/edit-comment.ts';
import { addTasksExport } from './commands/tasks/export.ts';
import { addTasksGet } from './commands/tasks/get.ts';
import { addTasksList } from './commands/tasks/list.ts';
import { addTasksLogs } from './commands/tasks/logs.ts';
import { addTasksReject } from './commands/tasks/reject.ts';
import { addTasksRelease } from './commands/tasks/release.ts';
import { addTasksRetry } from './commands/tasks/retry.ts';
import { addTasksReviews } from './commands/tasks/reviews.ts';
import { addTasksUnassign } from './commands/tasks/unassign.ts';
import { addTasksWhy } from './commands/tasks/why.ts';
import { addTokensCreate } from './commands/tokens/create.ts';
import { addTokensList } from './commands/tokens/list.ts';
import { addTokensRevoke } from './commands/tokens/revoke.ts';
import { addPause, addResume, addStop } from './commands/workspace/pause.ts';
import { formats } from './output/format.ts';
import { version } from './version.ts';

type Verb = (noun: Command, cli: Cli) => void;

/** Nouns in the order of their use; each verb adds itself. */
const nouns: [name: string, description: string, example: string, verbs: Verb[]][] = [
  [
    'tasks',
    'The work: create, watch, cancel, retry',
    'tasks create "Say hello" --wait',
    [
      addTasksCreate,
      addTasksList,
      addTasksExport,
      addTasksGet,
      addTasksLogs,
      addTasksWhy,
      addTasksComment,
      addTasksEditComment,
      addTasksDeleteComment,
      addTasksAnswer,
      addTasksActivity,
      addTasksApprove,
      addTasksReject,
      addTasksReviews,
      addTasksAttempts,
      addTasksAttachments,
      addTasksDownload,
      addTasksEdit,
      addTasksAssign,
      addTasksUnassign,
      addTasksCancel,
      addTasksRelease,
      addTasksRetry,
      addTasksDelete,
      addTasksBulk,
      addTasksDuplicate,
    ],
  ],
  [
    'agents',
    'Who does the work: look, drain, resume',
    'agents drain scout --deadline 10m --on-deadline requeue',
    [addAgentsList, addAgentsGet, addAgentsDrain, addAgentsResume, addAgentsWhy, addAgentsDelete],
  ],
  ['queue', 'Work for agents without a daemon', 'queue poll scout --max-capacity 3', [addQueuePoll]],
  ['hosts', 'Machines: add one', 'hosts add --name build-3 --slots 4', [addHostsAdd]],
  [
    'tokens',
    'Credentials of people, programs and hosts',
    'tokens create --name ci --role operator',
    [addTokensCreate, addTokensList, addTokensRevoke],
  ],
  ['events', 'What happens, as it happens', 'events watch --types task', [addEventsWatch]],
  ['expiry', 'Whether tasks of silent hosts are requeued', 'expiry show', [addExpiryShow, addExpiryRelease]],
  ['audit', 'Who changed what', 'audit list --limit 20', [addAuditList]],
  [
    'config',
    'Contexts: which coordinator, with which token',
    'config use prod',
    [addConfigList, addConfigUse, addConfigCurrent, addConfigPath, addConfigDelete],
  ],
  [
    'admin',
    "Backup and restore, on the coordinator's machine",
    'admin backup flotilla.backup',
    [addAdminBackup, addAdminCheck, addAdminRestore],
  ],
];

const addGlobalOptions = (program: Command): Command =>
  program
    .addOption(new Option('-o, --output <format>', 'how to print').choices(formats))
    .option('--json', 'the same as -o json')
    .option('--context <name>', 'use this context instead of the current one')
    .option('--url <url>', 'address of the coordinator (else FLOTILLA_URL, else the context)')
    .option('--token-file <path>', 'file with the token (else FLOTILLA_TOKEN, else the context)')
    .option('--token <->', '- reads the token from stdin')
    .option('--no-input', 'never ask anything')
    .version(version, '--version', 'print the version');

/** The whole command line. Nothing in it exits: errors, help and the version are thrown to main. */
export const createProgram = (cli: Cli): Command => {
  const program = new Command('flotilla').description('Command line of Flotilla, a fleet control plane for AI agents.');
  // Inherited by every command made below, so this stands first.
  program.exitOverride().configureOutput({
    writeOut: (text) => cli.stdout.write(text),
    writeErr: (text) => cli.stderr.write(text),
    outputError: () => undefined,
  });
  program.configureHelp({ showGlobalOptions: true });
  addGlobalOptions(program);
  examples(
    program,
    'login --url https://flotilla.example.org --token-file token.txt',
    'tasks create "Say hello" --wait',
    'agents list',
    'status',
  );
  addLogin(program, cli);
  addStatus(program, cli);
  addPause(program, cli);
  addResume(program, cli);
  addStop(program, cli);
  for (const [name, description, example, verbs] of nouns) {
    const noun = program.command(name).description(description);
    examples(noun, example);
    for (const add of verbs) add(noun, cli);
  }
  addApi(program, cli);
  return program;
};
