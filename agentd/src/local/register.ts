import { createHash } from 'node:crypto';

import { ApiError, type Client, pace, retry, type Timings } from '@flotilla/shared';

import { describeError } from '../answers.ts';
import { ConfigError } from '../config.ts';
import { withDeadline } from '../deadline.ts';
import type { HostDeps } from '../deps.ts';
import type { Executor } from '../executors/executor.ts';
import { VERSION } from '../version.ts';
import { ensureSecret, type Identity, writeIdentity } from './identity.ts';

/** The coordinator will never take this registration as it is. The message names the remedy. */
export class RegistrationError extends Error {
  override name = 'RegistrationError';
}

const remedies: Record<string, string> = {
  join_token_invalid: 'create a new join token on the coordinator and give it to FLOTILLA_JOIN_TOKEN_FILE',
  name_taken: 'set FLOTILLA_AGENT_NAME to a free name, or delete the old agent on the coordinator',
  protocol_unsupported: 'install the agentd version that belongs to the coordinator',
};

const isFinal = (error: unknown): error is ApiError =>
  error instanceof ApiError && error.code !== null && [400, 401, 403, 409, 413, 422, 426].includes(error.status);

const describeHost = ({ config, host }: HostDeps, executor: Executor) => ({
  name: config.agent_name,
  hostname: host.hostname,
  host_uid: host.machine_id ?? undefined,
  platform: host.platform,
  version: VERSION,
  slots: config.slots,
  executors: [executor.name],
  metadata: executor.about,
});

const explainRefusal = (name: string, error: ApiError): RegistrationError => {
  const remedy = error.hint ?? remedies[error.code ?? ''] ?? 'correct the configuration of this host';
  return new RegistrationError(`The coordinator refused the registration of "${name}" (${error.message}): ${remedy}.`);
};

/** Registers this host, retrying for as long as the coordinator cannot be reached; null when the signal aborted. */
export const registerHost = async (
  deps: HostDeps,
  client: Client,
  executor: Executor,
  signal: AbortSignal,
): Promise<Identity | null> => {
  const { config, paths, log, crash } = deps;
  const join_token = config.read_join_token();
  if (join_token === null || join_token === '') {
    throw new ConfigError([
      `This host has not joined yet (no identity in ${paths.root}): set FLOTILLA_JOIN_TOKEN_FILE to a file that holds a join token from the coordinator.`,
    ]);
  }
  const token = await ensureSecret(paths);
  crash('register.secret_written');
  const agent = describeHost(deps, executor);
  const agent_token_sha256 = createHash('sha256').update(token).digest('hex');
  const call = (inner: AbortSignal) =>
    withDeadline(30_000, inner, (limited) =>
      client.agents.register({ body: { join_token, agent, agent_token_sha256 } }, { signal: limited }),
    );
  let answer: { agent: { id: number; name: string }; timings: Timings };
  try {
    answer = await retry(call, {
      signal,
      retryable: (error) => !isFinal(error),
      backoff: pace.register,
      random: deps.random,
      onRetry: (error, attempt, retry_in_ms) =>
        log.warn({ attempt, retry_in_ms, error: describeError(error) }, 'registration not answered, trying again'),
    });
  } catch (error) {
    if (signal.aborted) return null;
    if (!isFinal(error)) throw error;
    throw explainRefusal(config.agent_name, error);
  }
  crash('register.answered');
  const identity = { url: config.url, agent_id: answer.agent.id, name: answer.agent.name, token };
  await writeIdentity(paths, identity);
  crash('identity.written');
  return identity;
};
