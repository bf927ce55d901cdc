import { createHash, randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { apiError, type Fault } from './fake-state.ts';
import { createLab, type Lab, script, waitFor } from './harness.ts';

const settled = ({ fake, state_dir }: Lab) =>
  waitFor(
    'the result and its log',
    async () => {
      const reported = fake.attempts().length > 0 && fake.attempts().every(({ reports }) => reports.length > 0);
      return reported && (await readdir(join(state_dir, 'attempts'))).length === 0;
    },
    25_000,
  );
const named = ({ fake }: Lab) => [...(fake.attempts()[0]?.files.keys() ?? [])];
const uploads = ({ fake }: Lab) =>
  fake.requests.filter(({ path }) => path.endsWith('/attachments')).map(({ query }) => query.get('name'));
const stderr = ({ fake }: Lab) => fake.attempts()[0]?.log.stderr.toString();
const isUpload = ({ path, query }: { path: string; query: URLSearchParams }, name: string) =>
  path.endsWith('/attachments') && query.get('name') === name;
/** Runs one task to its end. */
const runOne = async (lab: Lab) => {
  const task = lab.fake.addTask();
  lab.agentd();
  await settled(lab);
  return task;
};

describe.concurrent('files in attachments/', () => {
  test('arrive whole, whatever they are called, and before the report', async (context) => {
    const lab = await createLab(
      context,
      script(
        `cd "$FLOTILLA_ATTACHMENTS"; cp "$FLOTILLA_WORKDIR/../big" .; printf 'a\\0\\377' >'Grüße & 50% "neu" #1.txt'; : >empty
        [ "$PWD" = "$FLOTILLA_WORKDIR/attachments" ]`,
      ),
    );
    const big = randomBytes(20_000_000);
    lab.agentd();
    await waitFor('the state directory', () =>
      writeFile(join(lab.state_dir, 'work', 'big'), big).then(
        () => true,
        () => false,
      ),
    );
    const task = lab.fake.addTask();
    await settled(lab);
    expect(task.status).toBe('done');
    const files = task.attempts[0]?.files;
    expect(named(lab)).toEqual(['Grüße & 50% "neu" #1.txt', 'big', 'empty']);
    expect(files?.get('Grüße & 50% "neu" #1.txt')).toEqual(Buffer.from([0x61, 0, 0xff]));
    expect(files?.get('empty')).toEqual(Buffer.alloc(0));
    const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    expect(digest(files?.get('big') ?? Buffer.alloc(0))).toBe(digest(big));
    const paths = lab.fake.requests.map(({ path }) => path.split('/').at(-1));
    expect(paths.lastIndexOf('attachments')).toBeLessThan(paths.indexOf('complete'));
    expect(uploads(lab)).toHaveLength(3);
    expect(stderr(lab)).toBe('');
  });

  test('come with a failure and a timeout, too; links, folders and what lies deeper do not', async (context) => {
    const failed = await createLab(
      context,
      script(
        'cd "$FLOTILLA_ATTACHMENTS"; echo 1 >good; ln -s good link; ln -s / away; mkdir sub; echo 2 >sub/deep; mkfifo pipe; exit 3',
      ),
    );
    const late = await createLab(context, script('echo 1 >"$FLOTILLA_ATTACHMENTS/partial"; sleep 300'));
    late.fake.addTask({ timeout_s: 1 });
    late.agentd();
    const task = await runOne(failed);
    expect(task.attempts[0]?.reports).toMatchObject([
      { verb: 'fail', body: { kind: 'exit_code', message: 'The command ended with exit code 3.' } },
    ]);
    expect(uploads(failed)).toEqual(['good']);
    expect(stderr(failed)).toBe(
      ['away', 'link', 'pipe', 'sub']
        .map((name) => `[flotilla: ${name} was not attached: it is no regular file]\n`)
        .join(''),
    );
    const report = await waitFor('the timeout', () => late.fake.attempts()[0]?.reports[0]);
    expect(report.body).toMatchObject({ kind: 'timeout' });
    expect(named(late)).toEqual(['partial']);
  });

  test('are at most 200', async (context) => {
    const lab = await createLab(
      context,
      script('cd "$FLOTILLA_ATTACHMENTS"; i=1000; while [ $i -lt 1203 ]; do : >"f$i"; i=$((i+1)); done'),
    );
    await runOne(lab);
    expect(named(lab)).toHaveLength(200);
    expect(named(lab).at(-1)).toBe('f1199');
    expect(stderr(lab)).toMatch(/^(\[flotilla: f120[012] was not attached: an attempt may leave 200 files\]\n){3}$/);
  });

  test('that went away with their folder, or whose folder is something else, hold nothing up', async (context) => {
    const gone = await createLab(context, script('rmdir "$FLOTILLA_ATTACHMENTS"'));
    const link = await createLab(context, script('rmdir "$FLOTILLA_ATTACHMENTS"; ln -s /etc "$FLOTILLA_ATTACHMENTS"'));
    await Promise.all([runOne(gone), runOne(link)]);
    expect([...uploads(gone), ...uploads(link)]).toEqual([]);
    expect(stderr(gone)).toBe('');
    expect(stderr(link)).toBe('[flotilla: attachments was not attached: it is no folder]\n');
  });

  test('of an attempt that was handed back are nobody’s', async (context) => {
    const lab = await createLab(context, script('echo 1 >"$FLOTILLA_ATTACHMENTS/x"; echo begun; sleep 300'));
    const task = lab.fake.addTask();
    lab.agentd();
    await waitFor('the task to have begun', () => task.attempts[0]?.log.stdout.length);
    lab.fake.startDrain({ remaining_ms: 100, on_deadline: 'requeue' });
    expect(await waitFor('the report', () => task.attempts[0]?.reports[0])).toMatchObject({ verb: 'unclaim' });
    expect(uploads(lab)).toEqual([]);
  });
});

const THREE = script('cd "$FLOTILLA_ATTACHMENTS"; for name in a b c; do echo $name >$name; done; printf said >&2');

describe.concurrent('a file that is refused', () => {
  test.for<[string, Fault]>([
    ['too large', apiError(413, 'body_too_large')],
    ['badly named', apiError(400, 'invalid_input')],
    ['unknown to an old coordinator', apiError(404, 'not_found')],
  ])('because it is %s is skipped and noted; the result is not held up', async ([, answer], context) => {
    const lab = await createLab(context, THREE);
    lab.fake.fault = (request) => (isUpload(request, 'b') ? answer : null);
    const task = await runOne(lab);
    expect(task.status).toBe('done');
    expect(uploads(lab)).toEqual(['a', 'b', 'c']);
    expect(named(lab)).toEqual(['a', 'c']);
    const note = /^said\n\[flotilla: b was not attached: fake: \w+\]\n$/;
    expect(stderr(lab)).toMatch(note);
    const size = stderr(lab)?.length;
    expect(task.attempts[0]?.reports).toMatchObject([{ body: { log_sizes: { stderr: size } } }]);
    expect(lab.logs()).toContain('a file was not attached');
  });

  test('because the lease is lost ends the uploads; the report decides', async (context) => {
    const lab = await createLab(context, THREE);
    lab.fake.fault = (request) => (isUpload(request, 'b') ? apiError(409, 'lease_lost') : null);
    const task = await runOne(lab);
    expect(uploads(lab)).toEqual(['a', 'b']);
    expect(task.status).toBe('done');
    expect(stderr(lab)?.match(/[bc] was not attached: fake: lease_lost/g)).toHaveLength(2);
  });

  test.for<[string, Fault]>([
    ['the disk over there is full', apiError(507, 'disk_full')],
    ['a proxy takes no large bodies', { kind: 'answer', status: 413, body: '<html>', type: 'text/html' }],
    ['the connection is cut', { kind: 'reset' }],
  ])('for ever, while beats get through, because %s is given up', async ([, answer], context) => {
    const lab = await createLab(context, THREE);
    lab.fake.fault = ({ path }) => (path.endsWith('/attachments') ? answer : null);
    const task = await runOne(lab);
    expect(task.status).toBe('done');
    expect(named(lab)).toEqual([]);
    expect(stderr(lab)?.match(/[abc] was not attached: /g)).toHaveLength(3);
    // Patience (five beats) is had once, not once per file; while a beat fails, too, any file may be tried again.
    const further = uploads(lab).filter((name) => name !== 'a');
    expect([...new Set(further)]).toEqual(['b', 'c']);
    for (const file of ['b', 'c']) expect(further.filter((name) => name === file).length).toBeLessThan(5);
  });

  test('in a log that is cut is noted behind the cut', async (context) => {
    const lab = await createLab(
      context,
      script('mkdir "$FLOTILLA_ATTACHMENTS/sub"; head -c 5000 /dev/zero | tr "\\0" a >&2'),
      { FLOTILLA_MAX_LOG_BYTES: '1024' },
    );
    const task = await runOne(lab);
    expect(stderr(lab)).toMatch(
      /^a{1024}\n\[flotilla: log cut at 1024 bytes\]\n\n?\[flotilla: sub was not attached: it is no regular file\]\n$/,
    );
    expect(task.attempts[0]?.reports).toMatchObject([{ body: { log_sizes: { stderr: stderr(lab)?.length } } }]);
  });
});

describe.concurrent('trouble on the way', () => {
  test('an outage is waited for, however long it lasts', async (context) => {
    const lab = await createLab(context, script('echo x >"$FLOTILLA_ATTACHMENTS/x"; echo begun; sleep 0.3'));
    const task = lab.fake.addTask();
    const agentd = lab.agentd();
    await waitFor('the task to have begun', () => task.attempts[0]?.log.stdout.length);
    await lab.fake.stop();
    await waitFor('some tries', () => agentd.stderr().split('file \\"x\\"').length > 3);
    await lab.fake.start();
    await settled(lab);
    expect(named(lab)).toEqual(['x']);
    expect(stderr(lab)).toBe('');
  });

  test('agentd killed in the middle of a file: it arrives once and whole, and notes are not doubled', async (context) => {
    const lab = await createLab(
      context,
      script(
        'cd "$FLOTILLA_ATTACHMENTS"; mkdir sub; echo 1 >a; head -c 8000000 /dev/zero >b; echo 3 >c; printf said >&2',
      ),
    );
    lab.fake.fault = (request) => (isUpload(request, 'b') ? { kind: 'hang' } : null);
    const task = lab.fake.addTask();
    const first = lab.agentd();
    await waitFor('the second file to be under way', () => uploads(lab).includes('b'));
    first.signal('SIGKILL');
    await first.exited;
    lab.fake.fault = () => null;
    lab.agentd();
    await settled(lab);
    expect(named(lab)).toEqual(['a', 'b', 'c']);
    expect(task.attempts[0]?.files.get('b')).toHaveLength(8_000_000);
    expect(task.attempts[0]?.reports).toHaveLength(1);
    expect(stderr(lab)).toBe('said\n[flotilla: sub was not attached: it is no regular file]\n');
  });

  test('agentd killed between the uploads and the report sends no file again', async (context) => {
    const lab = await createLab(context, THREE);
    lab.fake.addTask();
    const crashed = lab.agentd({ FLOTILLA_CRASH_AT: 'attachments.settled' });
    expect((await crashed.exited).signal).toBe('SIGKILL');
    lab.agentd();
    await settled(lab);
    expect(uploads(lab)).toEqual(['a', 'b', 'c']);
    expect(named(lab)).toEqual(['a', 'b', 'c']);
  });
});
