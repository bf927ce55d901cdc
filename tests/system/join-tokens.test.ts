import { createHash } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createFleet, type Fleet } from '../lib/fleet.ts';
import { sendRaw } from '../lib/raw.ts';
import { until } from '../lib/until.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await createFleet();
});
afterAll(async () => {
  await fleet.audit();
  await fleet.close();
}, 60_000);

const digest = (secret: string) => createHash('sha256').update(secret).digest('hex');

const register = (join_token: string, name: string, extra: Record<string, unknown> = {}) =>
  sendRaw(fleet.coordinator.url, {
    method: 'POST',
    path: '/agents/register',
    body: JSON.stringify({ join_token, agent: { name }, agent_token_sha256: digest(name), ...extra }),
  });

const newToken = async (body: { name_pattern?: string; expires_in_s?: number } = {}) => {
  const { id, token = '' } = await fleet.client.join_tokens.create({ body });
  return { id, token };
};

describe('R19: join tokens', () => {
  it('of 100 concurrent uses exactly one is 201, the others are 401 in one wording', async () => {
    const { token } = await newToken();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => register(token, `racer-${index}`)));
    const won = answers.filter(({ status }) => status === 201);
    const lost = answers.filter(({ status }) => status === 401);
    expect([won.length, lost.length]).toEqual([1, 99]);
    expect(new Set(lost.map(({ json }) => JSON.stringify([json.code, json.error, json.hint]))).size).toBe(1);
    const { agents } = await fleet.client.agents.list({ query: { limit: 200 } });
    expect(agents.filter(({ name }) => name.startsWith('racer-'))).toHaveLength(1);
  });

  it('the same digest again, 50 times at once, is the same agent', async () => {
    const { token } = await newToken();
    const answers = await Promise.all(Array.from({ length: 50 }, () => register(token, 'same')));
    expect(answers.every(({ status }) => status === 200 || status === 201)).toBe(true);
    const ids = answers.map(({ json }) => (json.agent as { id: number }).id);
    expect(new Set(ids).size).toBe(1);
    // The secret is the host's own: no answer may carry one.
    expect(answers.some(({ text }) => text.includes('agent_token"'))).toBe(false);
  });

  it('wrong, used, expired and revoked tokens answer in one wording', async () => {
    const used = await newToken();
    await register(used.token, 'first-user');
    const revoked = await newToken();
    await fleet.client.join_tokens.revoke({ params: { id: revoked.id } });
    const expired = await newToken({ expires_in_s: 1 });
    const { join_tokens } = await fleet.client.join_tokens.list({ query: { limit: 500 } });
    const ends = Date.parse(join_tokens.find(({ id }) => id === expired.id)?.expires_at ?? '');
    await until('its expiry', () => Date.now() > ends + 100);
    const tokens = ['flj_nonsense', used.token, revoked.token, expired.token];
    const answers = await Promise.all(tokens.map((token, index) => register(token, `late-${index}`)));
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401]);
    expect(new Set(answers.map(({ json }) => JSON.stringify([json.code, json.error, json.hint]))).size).toBe(1);
  });

  it('a refused name and a failed validation burn nothing', async () => {
    const { token } = await newToken({ name_pattern: 'good-*' });
    const taken = await newToken();
    expect((await register(taken.token, 'good-taken')).status).toBe(201);
    expect((await register(token, 'bad-name')).status).toBe(400);
    expect((await register(token, 'UPPER')).status).toBe(400);
    expect((await register(token, 'good-taken')).status).toBe(409);
    expect((await register(token, 'good-free')).status).toBe(201);
  });
});
