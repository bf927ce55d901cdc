import { AppError } from '@flotilla/shared';
import { describe, expect, it } from 'vitest';

import { aComment, aTask } from './lib/rows.ts';
import { openSetting } from './lib/setting.ts';

const { api, home } = await openSetting();

describe('comment', () => {
  it('keeps the text, also from stdin, and says what it answers', async () => {
    api.on('comments.create', () => aComment());
    const { code, stdout } = await home.run([
      'tasks',
      'comment',
      'TASK-12',
      ' @scout look ',
      '--reply-to',
      '7',
      '-o',
      'name',
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '7\n' });
    expect(api.calls('comments.create')[0]).toMatchObject({
      params: { id: '12' },
      body: { text: ' @scout look ', reply_to: 7 },
    });
    await home.run(['tasks', 'comment', '12', '-'], { stdin: 'line 1\nline 2\n' });
    expect(api.calls('comments.create')[1]?.body).toEqual({ text: 'line 1\nline 2\n' });
    expect((await home.run(['tasks', 'comment', '12', '  '])).code).toBe(2);
    expect(api.calls('comments.create')).toHaveLength(2);
  });

  it('edit-comment sends the new text, also from stdin, and prints the comment', async () => {
    api.on('comments.edit', () => aComment({ text: 'Looks better.', edited_at: '2030-01-01T00:00:00.000Z' }));
    const { code, stdout } = await home.run(['tasks', 'edit-comment', 'TASK-12', '7', ' Looks better. ']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^#7 .*Looks better\.$/m) as string });
    expect(api.calls('comments.edit')[0]).toMatchObject({
      params: { id: '12', comment_id: '7' },
      body: { text: ' Looks better. ' },
    });
    await home.run(['tasks', 'edit-comment', '12', '7', '-'], { stdin: 'line 1\nline 2\n' });
    expect(api.calls('comments.edit')[1]?.body).toEqual({ text: 'line 1\nline 2\n' });
    for (const wrong of [
      ['12', '7', ' '],
      ['12', 'seven', 'x'],
      ['12', '7'],
    ])
      expect((await home.run(['tasks', 'edit-comment', ...wrong])).code).toBe(2);
    const dry = await home.run(['tasks', 'edit-comment', '12', '7', 'x', '--dry-run']);
    expect(JSON.parse(dry.stdout)).toMatchObject({ method: 'PATCH', body: { text: 'x' } });
    expect(api.calls('comments.edit')).toHaveLength(2);
  });

  it('edit-comment of what is not yours is refused with the reason', async () => {
    api.on('comments.edit', () => {
      throw new AppError('forbidden', { hint: 'only its author and admins may change a comment' });
    });
    const { code, stderr } = await home.run(['tasks', 'edit-comment', '12', '7', 'x']);
    expect({ code, stderr }).toEqual({ code: 4, stderr: expect.stringContaining('only its author') as string });
  });

  it('delete-comment asks, and says what it did', async () => {
    api.on('comments.delete', () => null);
    expect((await home.run(['tasks', 'delete-comment', '12', '7'])).code).toBe(2);
    expect(api.calls('comments.delete')).toEqual([]);
    expect(await home.run(['tasks', 'delete-comment', 'TASK-12', '7', '--yes'])).toEqual({
      code: 0,
      stdout: '',
      stderr: 'Deleted comment 7 of TASK-12.\n',
    });
    expect(api.calls('comments.delete')[0]?.params).toEqual({ id: '12', comment_id: '7' });
    expect((await home.run(['tasks', 'delete-comment', '12', '#7', '--yes'])).code).toBe(2);
  });
});

describe('answer', () => {
  it('replies to the question that the task waits with, which get shows', async () => {
    api.on('tasks.get', () => aTask({ asked_comment_id: 9, question: 'Which\u001b[2J\ncolour?' }));
    api.on('comments.list', () => ({ comments: [], next_cursor: null }));
    api.on('comments.create', () => aComment({ id: 10 }));
    expect((await home.run(['tasks', 'get', '12'])).stdout).toContain('QUESTION\nWhich\ufffd[2J\ncolour?');
    const { code, stdout } = await home.run(['tasks', 'answer', 'TASK-12', ' blue ', '-o', 'name']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '10\n' });
    await home.run(['tasks', 'answer', '12', '-'], { stdin: 'dark\nblue\n' });
    expect(api.calls('comments.create').map(({ body }) => body)).toEqual([
      { text: ' blue ', reply_to: 9 },
      { text: 'dark\nblue\n', reply_to: 9 },
    ]);
  });

  it('of a task that asks nothing, or with nothing to say, sends nothing', async () => {
    api.on('tasks.get', () => aTask());
    const { code, stderr } = await home.run(['tasks', 'answer', '12', 'blue']);
    expect({ code, stderr }).toEqual({ code: 7, stderr: expect.stringContaining('TASK-12 asks nothing') as string });
    expect((await home.run(['tasks', 'answer', '12', ' '])).code).toBe(2);
    expect(api.calls('comments.create')).toEqual([]);
  });
});
