import { describe, expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import type { TestWorkspace } from './lib/fleet.ts';

const app = await testApp();

const find = async ({ admin }: TestWorkspace, search: string, more: object = {}): Promise<number[]> =>
  (await admin.tasks.list({ query: { search, ...more } })).tasks.map(({ id }) => id);

describe('search', () => {
  test('finds words, beginnings, phrases, alternatives and what lacks a word; the best first', async () => {
    const workspace = await app.workspace();
    const comment = (task: { id: number }, text: string) =>
      workspace.admin.comments.create({ params: { id: task.id }, body: { text } });
    const said = await workspace.task({ title: 'Rotate keys' });
    await comment(said, 'the deployment failed on Ärger');
    const described = await workspace.task({ title: 'Look at it', description: 'A deployment broke: disk full.' });
    const titled = await workspace.task({ title: 'Deployment of staging' });
    expect(await find(workspace, 'deploy')).toEqual([titled.id, described.id, said.id]);
    expect(await find(workspace, 'DEPLOYMENT fail')).toEqual([said.id]);
    expect(await find(workspace, '"disk full"')).toEqual([described.id]);
    expect(await find(workspace, '"disk ful"')).toEqual([]);
    expect(await find(workspace, '"full disk"')).toEqual([]);
    expect(await find(workspace, 'rotate or staging')).toEqual([titled.id, said.id]);
    expect(await find(workspace, 'deploy -staging')).toEqual([described.id, said.id]);
    expect(await find(workspace, 'ärger')).toEqual([said.id]);
    expect(await find(workspace, 'deploy', { status: 'backlog' })).toEqual([]);
    await workspace.admin.tasks.cancel({ params: { id: titled.id }, body: {} });
    expect(await find(workspace, 'deploy', { status: 'cancelled' })).toEqual([titled.id]);
  });

  test('follows what changes: edits, comments that come, change and go, deletion', async () => {
    const workspace = await app.workspace();
    const { admin } = workspace;
    const task = await workspace.task({ title: 'apple' });
    const params = { id: task.id };
    await admin.tasks.patch({ params, body: { title: 'pear', description: 'plum' } });
    expect([await find(workspace, 'apple'), await find(workspace, 'pear plum')]).toEqual([[], [task.id]]);
    const comment = await admin.comments.create({ params, body: { text: 'cherry' } });
    await admin.comments.create({ params, body: { text: 'melon' } });
    expect(await find(workspace, 'cherry melon pear')).toEqual([task.id]);
    const at = { ...params, comment_id: comment.id };
    await admin.comments.edit({ params: at, body: { text: 'grape' } });
    expect([await find(workspace, 'cherry'), await find(workspace, 'grape')]).toEqual([[], [task.id]]);
    await admin.comments.delete({ params: at });
    expect([await find(workspace, 'grape'), await find(workspace, 'melon')]).toEqual([[], [task.id]]);
    await admin.tasks.delete({ params });
    expect(await find(workspace, 'pear')).toEqual([]);
  });

  test('loses no comment of many at once', async () => {
    const workspace = await app.workspace();
    const task = await workspace.task();
    const words = Array.from({ length: 8 }, (_, index) => `word${index}x`);
    await Promise.all(
      words.map((text) => workspace.admin.comments.create({ params: { id: task.id }, body: { text } })),
    );
    expect(await find(workspace, words.join(' '))).toEqual([task.id]);
  });

  test('pages through ranked results without gaps or repeats', async () => {
    const workspace = await app.workspace();
    const made = await Promise.all(
      Array.from({ length: 25 }, (_, index) =>
        workspace.task({ title: 'needle', description: 'needle '.repeat(index % 5) }),
      ),
    );
    const seen: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await workspace.admin.tasks.list({ query: { search: 'needle', limit: 4, cursor } });
      seen.push(...page.tasks.map(({ id }) => id));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toHaveLength(25);
    expect(new Set(seen)).toEqual(new Set(made.map(({ id }) => id)));
    expect(seen).toEqual(await find(workspace, 'needle'));
  });

  test('takes any text as words, never as syntax', async () => {
    const workspace = await app.workspace();
    const task = await workspace.task({ title: "o'neil said: don't" });
    for (const search of [
      "'",
      "''",
      '"',
      '""',
      '\\',
      ':*',
      '!',
      '!!',
      '&',
      '|',
      '(',
      ')',
      '<->',
      '-',
      '--',
      '-"a b"',
      'or',
      'or or',
      'a:*b',
      '*',
      "'; drop table tasks; --",
      '%',
      '🚀',
      'https://example.org/a?b=c',
      'a-b-c',
      'x'.repeat(200),
      "o'neil:A",
      '"a" "b" -c or "d',
    ]) {
      const answer = await app.request('GET', `/api/v1/tasks?search=${encodeURIComponent(search)}`, {
        token: workspace.token,
      });
      expect(answer.status, search).toBe(200);
    }
    expect(await find(workspace, "o'neil")).toEqual([task.id]);
    expect(await find(workspace, "don't")).toEqual([task.id]);
    for (const search of ['', ' ', 'x'.repeat(201), '\u0000'])
      expect(
        (await app.request('GET', `/api/v1/tasks?search=${encodeURIComponent(search)}`, { token: workspace.token }))
          .status,
      ).toBe(400);
  });

  test('sees no other workspace, and for an agent only its own tasks', async () => {
    const [mine, other] = [await app.workspace(), await app.workspace()];
    const agent = await mine.agent();
    const open = await mine.task({ title: 'zebra' });
    const assigned = await mine.task({ title: 'zebra', assigned_to: agent.name });
    expect(await find(other, 'zebra')).toEqual([]);
    expect(await find(mine, 'zebra')).toEqual([assigned.id, open.id]);
    expect((await agent.client.tasks.list({ query: { search: 'zebra' } })).tasks.map(({ id }) => id)).toEqual([
      assigned.id,
    ]);
  });

  test('stands texts of any size', async () => {
    const workspace = await app.workspace();
    const words = Array.from({ length: 30_000 }, (_, index) => String.fromCodePoint(0x2_0000 + index)).join(' ');
    const task = await workspace.task({ title: 'huge', description: words });
    for (let index = 0; index < 4; index++)
      await workspace.admin.comments.create({
        params: { id: task.id },
        body: { text: Array.from({ length: 15_000 }, (_, at) => String.fromCodePoint(0x2_8000 + at)).join('-') },
      });
    expect(await find(workspace, 'huge')).toEqual([task.id]);
  });

  test('costs claims and reports nothing: they leave the words alone', async () => {
    const workspace = await app.workspace();
    const agent = await workspace.agent();
    const task = await workspace.task();
    const version = async () =>
      (await app.sql`select xmin::text as xmin from task_search where task_id = ${task.id}`)[0]?.xmin as unknown;
    const before = await version();
    const claimed = await agent.claimOne();
    await agent.start(claimed);
    await agent.complete(claimed);
    expect(await version()).toBe(before);
    const indexes = await app.sql<{ indexdef: string }[]>`select indexdef from pg_indexes where tablename = 'tasks'`;
    expect(indexes.filter(({ indexdef }) => /gin|tsvector/i.test(indexdef))).toEqual([]);
  });
});
