import { styleText } from 'node:util';

import { ApiError, BadAnswerError } from '@flotilla/shared';
import { CommanderError } from 'commander';

import { CliError, type ExitName } from '../exit.ts';
import { manyLines, oneLine } from './sanitize.ts';

const exitOfStatus = (status: number): ExitName => {
  if (status === 401 || status === 403) return 'auth';
  return status === 409 || status === 412 ? 'conflict' : 'failed';
};

const fallbackHints: Record<number, string> = {
  401: 'Run `flotilla login --url …` with a valid token, or set FLOTILLA_TOKEN.',
  403: 'Ask an admin for a token with a higher role (`flotilla tokens create`).',
  412: 'Somebody changed it meanwhile: look again, then repeat the command.',
};

/** What the contract says about a wrong field is in `details`; other details (a current row) are too long to help here. */
const fieldDetails = (error: ApiError): string =>
  error.code === 'invalid_input' && error.details !== null ? ` (${JSON.stringify(error.details).slice(0, 500)})` : '';

const fromApi = (error: ApiError): CliError => {
  const hint =
    error.code === null
      ? 'Something between here and the coordinator answered, or the address is not a coordinator.'
      : (error.hint ?? fallbackHints[error.status] ?? null);
  return new CliError(exitOfStatus(error.status), `${error.message}${fieldDetails(error)}`, {
    code: error.code ?? `http_${error.status}`,
    hint,
    request_id: error.request_id,
  });
};

/** Commander says `error: unknown command 'x'\n(Did you mean y?)`; here that is a sentence and a hint. */
const fromCommander = (error: CommanderError): CliError => {
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const guess = /Did you mean (?:one of )?(.+)\?/.exec(rest.join(' '))?.[1];
  const sentence = `${first.charAt(0).toUpperCase()}${first.slice(1)}${first.endsWith('.') ? '' : '.'}`;
  return new CliError('usage', sentence, {
    code: 'usage',
    hint: guess === undefined ? 'Add --help to see what is possible.' : `Did you mean ${guess}?`,
  });
};

/** Every failure as a sentence with an exit code. What nobody expected is our bug and says so, without a stack trace. */
export const toCliError = (error: unknown): CliError => {
  if (error instanceof CliError) return error;
  if (error instanceof ApiError) return fromApi(error);
  if (error instanceof CommanderError) return fromCommander(error);
  if (error instanceof BadAnswerError) {
    return new CliError('failed', 'The answer is not one of a Flotilla coordinator of this version.', {
      code: 'bad_answer',
      hint: error.message,
    });
  }
  if (error instanceof TypeError && error.message === 'terminated') {
    return new CliError('failed', 'The connection broke in the middle of an answer.', {
      code: 'broken_connection',
      hint: 'Try again.',
    });
  }
  const sentence = error instanceof Error ? error.message : String(error);
  const expected =
    error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code);
  return new CliError('failed', sentence, {
    code: expected ? String(error.code).toLowerCase() : 'internal',
    hint: expected ? null : 'This should not happen; please report it with the command you ran.',
  });
};

/** Sentence, hint, code, request id. */
export const renderError = (error: CliError, stream: NodeJS.WriteStream): string => {
  const facts = [
    error.code === null ? '' : `code: ${error.code}`,
    error.request_id === null ? '' : `request id: ${error.request_id}`,
  ];
  const last = facts.filter((fact) => fact !== '').join('  ');
  return [
    `${styleText('red', 'Error:', { stream })} ${manyLines(error.message)}`,
    ...(error.hint === null ? [] : [`  hint: ${manyLines(error.hint).replaceAll('\n', '\n  ')}`]),
    ...(last === '' ? [] : [`  ${styleText('dim', oneLine(last), { stream })}`]),
    '',
  ].join('\n');
};
