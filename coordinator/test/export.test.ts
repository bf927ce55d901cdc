import { describe, expect, test } from 'vitest';

import { csvCell } from '../src/tasks/export/csv.ts';
import { testApp } from './lib/app.ts';

const app = await testApp();
const get = (token: string, search: string) => app.request('GET', `/api/v1/tasks/export${search}`, { token });

/** A reader of RFC 4180, strict about quotes. */
const parseCsv = (text: string): string[][] => {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain ?? '');
    if (end === '\r\n') rows.push([]);
  }
  expect(rows.pop()).toEqual([]);
  return rows;
};

describe('export', () => {
  test('as JSON is the list, whole, in slices', async () => {
    const workspace = await app.workspace();
    const made = await Promise.all(Array.from({ length: 230 }, (_, index) => workspace.task({ title: `t${index}` })));
    const answer = await get(workspace.token, '');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-disposition')).toBe(
      `attachment; filename="tasks.json"; filename*=UTF-8''tasks.json`,
    );
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('content-security-policy')).toContain('sandbox');
    const { tasks } = answer.body as { tasks: { id: number }[] };
    const ids = made.map(({ id }) => id).toSorted((a, b) => b - a);
    expect(tasks.map(({ id }) => id)).toEqual(ids);
    expect(tasks[0]).toEqual((await workspace.admin.tasks.list({ query: { limit: 1 } })).tasks[0]);
    expect((await get((await app.workspace()).token, '')).body).toEqual({ tasks: [] });
  });

  test('as CSV keeps every text and runs none of them', async () => {
    const workspace = await app.workspace();
    const hostile = ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', ' =1', '＝1', 'a,"b"\r\nc', '"', "it's", ' x ', '🚀'];
    for (const text of hostile) await workspace.task({ title: `x${text}`, description: text });
    const answer = await get(workspace.token, '?format=csv');
    expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    const [head = [], ...rows] = parseCsv(answer.text);
    expect(rows).toHaveLength(hostile.length);
    const [title, description] = [head.indexOf('title'), head.indexOf('description')];
    for (const [index, row] of rows.toReversed().entries()) {
      const text = hostile[index] ?? '';
      expect(row).toHaveLength(head.length);
      expect(row[title]).toBe(`x${text}`);
      expect(row[description]).toBe(index < 7 ? `'${text}` : text);
    }
  });

  test('of cells: numbers stay numbers, nothing is nothing', () => {
    expect([csvCell(-5), csvCell(null), csvCell(''), csvCell('-5'), csvCell('a-b')]).toEqual([
      '-5',
      '',
      '',
      "'-5",
      'a-b',
    ]);
  });

  test('takes the filters of the list, and refuses what is none', async () => {
    const workspace = await app.workspace();
    await workspace.task({ title: 'one', tags: ['a'], priority: 'high' });
    const two = await workspace.task({ title: 'two words', tags: ['b'], status: 'backlog' });
    for (const search of ['?status=backlog', '?tag=b', '?search=word', '?priority=medium,low'])
      expect((await get(workspace.token, search)).body, search).toMatchObject({ tasks: [{ id: two.id }] });
    for (const search of ['?search=words&tag=a', '?search=%27', '?claimed_by=ghost'])
      expect((await get(workspace.token, search)).body, search).toEqual({ tasks: [] });
    for (const search of ['?format=xml', '?colour=red', '?status=', '?limit=1', '?search='])
      expect((await get(workspace.token, search)).status, search).toBe(400);
  });

  test('shows an agent its own tasks alone, and stops asking when the reader is gone', async () => {
    const [workspace, other] = [await app.workspace(), await app.workspace()];
    const agent = await workspace.agent();
    await Promise.all(Array.from({ length: 150 }, () => workspace.task({ description: 'x'.repeat(20_000) })));
    const mine = await workspace.task({ assigned_to: agent.name });
    expect((await get(agent.token, '')).body).toMatchObject({ tasks: [{ id: mine.id }] });
    expect((await get(other.token, '')).body).toEqual({ tasks: [] });
    const response = await app.open('/api/v1/tasks/export', { token: workspace.token });
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    expect((await get(agent.token, '')).status).toBe(200);
  });
});
