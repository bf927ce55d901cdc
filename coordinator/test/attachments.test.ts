import { createHash, randomBytes } from 'node:crypto';

import type { Attachment } from '@flotilla/shared';
import { describe, expect, test } from 'vitest';

import { deleteExpired } from '../src/operations/retention.ts';
import { testApp } from './lib/app.ts';
import type { Held } from './lib/fleet.ts';

const PER_FILE = 1_000_000;
const app = await testApp({
  FLOTILLA_MAX_ATTACHMENT_BYTES: String(PER_FILE),
  FLOTILLA_MAX_ATTEMPT_ATTACHMENT_BYTES: String(2 * PER_FILE),
});
const EXPIRED_MS = 125_000;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const stored = async () =>
  (
    await app.sql<{ files: number; chunks: number }[]>`
    select (select count(*)::int from task_attachments) as files, (select count(*)::int from attachment_chunks) as chunks`
  )[0];

const upload = (token: string, task: { id: number }, search: string, body: Uint8Array) =>
  app.request('POST', `/api/v1/tasks/${task.id}/attachments?${search}`, { token, body });
/** Sends piece by piece, without saying how long it will be. */
const stream = (token: string, task: Held, pieces: AsyncIterable<Uint8Array>) =>
  app.app.request(`http://coordinator.test/api/v1/tasks/${task.id}/attachments?epoch=${task.epoch}&name=x`, {
    method: 'POST',
    body: ReadableStream.from(pieces),
    duplex: 'half',
    headers: { authorization: `Bearer ${token}` },
  });
const download = (token: string, task: { id: number }, file: { id: number }) =>
  app.open(`/api/v1/tasks/${task.id}/attachments/${file.id}`, { token });

/** A workspace with an agent at work. */
const working = async () => {
  const workspace = await app.workspace();
  const agent = await workspace.agent();
  await workspace.task();
  const task = await agent.claimOne();
  const leave = (name: string, bytes: Uint8Array, more: Partial<Held> = {}): Promise<Attachment> =>
    agent.client.attachments.upload({
      params: { id: task.id },
      query: { epoch: task.epoch, name, ...more },
      body: bytes,
    });
  const list = async () => (await workspace.admin.attachments.list({ params: { id: task.id } })).attachments;
  return { workspace, agent, task, leave, list };
};

describe('an attachment', () => {
  test('comes back byte by byte, as a file to save', async () => {
    const { workspace, agent, task, list } = await working();
    const bytes = randomBytes(900_001);
    const search = `epoch=${task.epoch}&name=${encodeURIComponent('Bericht "ü".html')}&content_type=text/html&sha256=${sha256(bytes)}`;
    const made = await upload(agent.token, task, search, bytes);
    expect(made).toMatchObject({
      status: 201,
      body: {
        name: 'Bericht "ü".html',
        content_type: 'text/html',
        size: 900_001,
        sha256: sha256(bytes),
        attempt: 1,
        agent: agent.name,
      },
    });
    const [file] = await list();
    expect(file).toEqual(made.body);
    const response = await download(workspace.token, task, file ?? { id: 0 });
    expect(Buffer.compare(Buffer.from(await response.arrayBuffer()), bytes)).toBe(0);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/html',
      'content-length': '900001',
      'content-disposition': `attachment; filename="Bericht ___.html"; filename*=UTF-8''Bericht%20%22%C3%BC%22.html`,
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
    });
    // Of one task's file under another task there is nothing.
    expect((await download(workspace.token, await workspace.task(), file ?? { id: 0 })).status).toBe(404);
  });

  test('may be empty, is replaced by the same name, and pages', async () => {
    const { leave, list, workspace, task } = await working();
    await leave('a', new Uint8Array());
    await leave('b', randomBytes(10));
    const again = await leave('a', Buffer.from('new'));
    expect((await list()).map(({ name, size }) => [name, size])).toEqual([
      ['a', 3],
      ['b', 10],
    ]);
    expect(await (await download(workspace.token, task, again)).text()).toBe('new');
    const page = await workspace.admin.attachments.list({ params: { id: task.id }, query: { limit: 1 } });
    expect(page.attachments).toEqual([again]);
    expect(page.next_cursor).not.toBeNull();
  });

  test('comes with the attempt’s own token, and the task stays as it was', async () => {
    const { workspace, task, list } = await working();
    const before = await workspace.read(task);
    expect((await upload(task.attempt_token, task, 'name=x', Buffer.from('1'))).status).toBe(201);
    expect(await list()).toHaveLength(1);
    const { lease_expires_at: _lease, ...rest } = before;
    expect(await workspace.read(task)).toMatchObject(rest);
    const other = await workspace.task();
    expect((await upload(task.attempt_token, other, 'name=x', Buffer.from('1'))).status).toBe(404);
  });

  test('that is too large, cut, or beyond what one attempt may leave is not kept', async () => {
    const { agent, task, leave, list } = await working();
    const before = await stored();
    const epoch = `epoch=${task.epoch}`;
    expect(await upload(agent.token, task, `${epoch}&name=big`, randomBytes(PER_FILE + 1))).toMatchObject({
      status: 413,
      body: { code: 'body_too_large', details: { max_bytes: PER_FILE } },
    });
    expect((await upload(agent.token, task, `${epoch}&name=cut&sha256=${'0'.repeat(64)}`, randomBytes(9))).status).toBe(
      400,
    );
    expect(await stored()).toEqual(before);
    await leave('one', randomBytes(PER_FILE));
    const both = await Promise.allSettled([leave('two', randomBytes(PER_FILE)), leave('three', randomBytes(PER_FILE))]);
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    // What it replaces does not count.
    await leave('one', randomBytes(PER_FILE));
    expect(await list()).toHaveLength(2);
  });

  test('whose sender goes away leaves nothing', async () => {
    const { agent, task } = await working();
    const before = await stored();
    const pieces = async function* () {
      yield randomBytes(600_000);
      throw new Error('the host lost its power');
    };
    const response = await stream(agent.token, task, pieces());
    expect(response.ok).toBe(false);
    expect(await stored()).toEqual(before);
  });

  test('of an attempt that ended, another epoch, agent or workspace is refused', async () => {
    const { workspace, agent, task, list } = await working();
    const bytes = Buffer.from('x');
    const epoch = `epoch=${task.epoch}&name=x`;
    const [colleague, stranger] = [await workspace.agent(), await (await app.workspace()).agent()];
    expect((await upload(colleague.token, task, epoch, bytes)).status).toBe(404);
    expect((await upload(stranger.token, task, epoch, bytes)).status).toBe(404);
    expect((await upload(agent.token, task, 'epoch=1099511627776&name=x', bytes)).status).toBe(404);
    expect((await upload(agent.token, task, 'name=x', bytes)).status).toBe(400);
    expect((await upload(workspace.token, task, epoch, bytes)).status).toBe(403);
    await agent.complete(task);
    expect(await upload(agent.token, task, epoch, bytes)).toMatchObject({ status: 409, body: { code: 'lease_lost' } });
    await workspace.admin.tasks.delete({ params: { id: task.id } });
    expect(await upload(agent.token, task, epoch, bytes)).toMatchObject({ status: 410, body: { code: 'task_gone' } });
    await expect(list()).rejects.toMatchObject({ status: 404 });
  });

  test('is welcome after its lease ran out like its success, until somebody claims the task', async () => {
    const { workspace, agent, task, leave, list } = await working();
    const colleague = await workspace.agent();
    await app.shiftClock(EXPIRED_MS);
    expect(await app.expire()).toBeNull();
    expect(await workspace.read(task)).toMatchObject({ status: 'inbox', stale_requeues: 1 });
    await leave('late', Buffer.from('but in time'));
    expect(await list()).toMatchObject([{ name: 'late', attempt: 1, agent: agent.name }]);
    const search = `epoch=${task.epoch}&name=x`;
    expect((await upload(colleague.token, task, search, Buffer.from('x'))).status).toBe(404);

    const lost = { status: 409, body: { code: 'lease_lost' } };
    const pieces = async function* () {
      yield randomBytes(300_000);
      await colleague.claimOne();
      yield randomBytes(300_000);
    };
    expect((await stream(agent.token, task, pieces())).status).toBe(409);
    expect(await upload(agent.token, task, search, Buffer.from('x'))).toMatchObject(lost);
    expect(await list()).toHaveLength(1);
  });

  test('comes in after the lease ran out and goes with the success that follows', async () => {
    const { workspace, agent, task, leave, list } = await working();
    await app.shiftClock(EXPIRED_MS);
    await app.expire();
    await leave('late', Buffer.from('x'));
    expect(await agent.complete(task)).toEqual({ status: 'done' });
    expect(await upload(agent.token, task, `epoch=${task.epoch}&name=y`, Buffer.from('y'))).toMatchObject({
      status: 409,
      body: { code: 'lease_lost' },
    });
    expect(await list()).toHaveLength(1);
    expect((await workspace.read(task)).status).toBe('done');
  });

  test('of a failed attempt is refused although its task waits again', async () => {
    const { workspace, agent, task } = await working();
    await agent.fail(task);
    expect(await workspace.read(task)).toMatchObject({ status: 'inbox' });
    const answer = await upload(agent.token, task, `epoch=${task.epoch}&name=x`, Buffer.from('x'));
    expect(answer).toMatchObject({ status: 409, body: { code: 'lease_lost' } });
  });

  test('of an attempt that ends while it comes is refused as a whole', async () => {
    const { agent, task, list } = await working();
    const pieces = async function* () {
      yield randomBytes(300_000);
      await agent.complete(task);
      yield randomBytes(300_000);
    };
    const response = await stream(agent.token, task, pieces());
    expect(response.status).toBe(409);
    expect(await list()).toEqual([]);
  });

  test.each(['', 'a/b', 'a\\b', '..', '.', ' a', 'a\n', 'a\u202Eb', 'x'.repeat(201)])(
    'may not be called %j',
    async (name) => {
      const { agent, task } = await working();
      const answer = await upload(
        agent.token,
        task,
        `epoch=${task.epoch}&name=${encodeURIComponent(name)}`,
        Buffer.from('x'),
      );
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    },
  );

  test('has a type that is no header of its own', async () => {
    const { agent, task } = await working();
    for (const type of ['text', 'text/plain\r\nx: y', 'a/b, c/d'])
      expect(
        (
          await upload(
            agent.token,
            task,
            `epoch=${task.epoch}&name=x&content_type=${encodeURIComponent(type)}`,
            Buffer.from('x'),
          )
        ).status,
      ).toBe(400);
  });

  test('is seen by those who see the task; downloads of others do not exist', async () => {
    const { workspace, agent, task, leave } = await working();
    const file = await leave('x', Buffer.from('x'));
    const other = await app.workspace();
    const theirs = await other.task();
    for (const token of [other.token, (await workspace.agent()).token]) {
      expect((await download(token, task, file)).status).toBe(404);
      expect((await app.request('GET', `/api/v1/tasks/${task.id}/attachments`, { token })).status).toBe(404);
    }
    expect((await download(other.token, theirs, file)).status).toBe(404);
    expect((await download(agent.token, task, file)).status).toBe(200);
  });

  test('goes with its task, and what was abandoned goes after a while', async () => {
    const { workspace, agent, task, leave } = await working();
    await leave('x', randomBytes(700_000));
    const [attempt] = await workspace.attempts(task);
    await app.sql`insert into task_attachments (workspace_id, task_id, attempt_id, name, content_type)
      values (${workspace.id}, ${task.id}, ${attempt?.id ?? 0}, 'half', 'text/plain')`;
    await agent.complete(task);
    const mine = async () =>
      (await app.sql`select name from task_attachments where task_id = ${task.id}`).map(({ name }) => name as string);
    await deleteExpired(app.deps);
    expect(await mine()).toEqual(['x', 'half']);
    await app.shiftClock(3_601_000);
    await deleteExpired(app.deps);
    expect(await mine()).toEqual(['x']);
    await workspace.admin.tasks.delete({ params: { id: task.id } });
    await app.shiftClock(8 * 86_400_000);
    const gone = await deleteExpired(app.deps);
    expect(gone.attachments).toBeGreaterThan(0);
    expect(await mine()).toEqual([]);
  });
});
