import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';

import { type CreateTask, priorities, type Priority } from '@flotilla/shared';
import type { Command } from 'commander';

import type { Cli } from '../../cli.ts';
import { usageError } from '../../exit.ts';
import { parseTime } from '../../output/format.ts';
import { agentName } from '../../resolve.ts';
import type { Session } from '../../session.ts';
import { collect, duration, oneOf, wholeNumber } from '../options.ts';

/** The fields that `create` and `edit` share. */
export type FieldOptions = {
  description?: string;
  file?: string;
  priority?: Priority;
  assign?: string;
  tag?: string[];
  requireTag?: string[];
  executor?: string;
  model?: string;
  timeout?: number;
  notBefore?: string;
  startBy?: string;
  key?: string;
  keyLimit?: number;
};

export const fieldOptions = (command: Command): Command =>
  command
    .option('--description <text>', 'what to do; - reads it from stdin')
    .option('--file <path>', 'read the description from a file')
    .option('--priority <priority>', priorities.join(', '), oneOf(priorities))
    .option('--assign <agent>', 'only this agent, by name or id; an unknown name waits until it joins')
    .option('--tag <tag>', 'label (repeatable)', collect)
    .option('--require-tag <tag>', 'scheduling tag the agent must have (repeatable)', collect)
    .option('--executor <name>', 'executor the agent must have')
    .option('--model <name>', 'model the executor should use')
    .option('--timeout <duration>', 'longest run of one attempt (default 1h)', duration)
    .option('--not-before <time>', 'ISO 8601 time, or a duration from now')
    .option('--start-by <time>', 'fail it when it has not started by then: ISO 8601 time, or a duration from now')
    .option('--key <key>', 'concurrency key: of its tasks only so many run at a time')
    .option('--key-limit <count>', 'how many of the key (default 1)', wholeNumber(1));

const readDescription = async (cli: Cli, { description, file }: FieldOptions): Promise<string | undefined> => {
  if (description !== undefined && file !== undefined) throw usageError('Give --description or --file, not both.');
  if (description === '-') return text(cli.stdin);
  if (file === undefined) return description;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw usageError(`Cannot read the description: ${error instanceof Error ? error.message : String(error)}`);
  }
};

/** Only what was given: a field left out is the coordinator's to decide. */
export const readFields = async (
  session: Session,
  options: FieldOptions,
): Promise<Omit<CreateTask, 'title' | 'status'>> => {
  const fields = {
    description: await readDescription(session.cli, options),
    priority: options.priority,
    assigned_to: options.assign === undefined ? undefined : await agentName(session, options.assign),
    tags: options.tag,
    required_tags: options.requireTag,
    executor: options.executor,
    model: options.model,
    timeout_s: options.timeout,
    start_by: options.startBy === undefined ? undefined : parseTime(options.startBy, session.cli.now()),
    concurrency_key: options.key,
    concurrency_limit: options.keyLimit,
    not_before: options.notBefore === undefined ? undefined : parseTime(options.notBefore, session.cli.now()),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
};
