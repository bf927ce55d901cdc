import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, it } from 'vitest';

import { ADMIN_TOKEN, requireBundle } from '../lib/coordinator.ts';
import { type Fleet, openFleet } from '../lib/fleet.ts';
import { logComplete } from '../lib/work.ts';

const CLI = join(import.meta.dirname, '../../cli/dist/main.js');

/** Runs `flotilla` as the admin, and answers what it printed. */
const flotilla = async (fleet: Fleet, ...args: string[]): Promise<string> => {
  requireBundle(CLI, 'cli');
  const env = {
    PATH: process.env.PATH,
    FLOTILLA_URL: fleet.coordinator.url,
    FLOTILLA_TOKEN: ADMIN_TOKEN,
    FLOTILLA_CONFIG_HOME: fleet.dir,
  };
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, ...args], { env, cwd: fleet.dir });
  return stdout;
};
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A program that leaves a text and 10 MB of bytes that repeat nowhere. */
const LEAVE = `
  const { createHash } = require('node:crypto'), { writeFileSync } = require('node:fs');
  const dir = process.env.FLOTILLA_ATTACHMENTS;
  const bytes = Buffer.concat(Array.from({ length: 320 * 1024 }, (_, n) => createHash('sha256').update(String(n)).digest()));
  writeFileSync(dir + '/Übersicht März.txt', 'in words\\n');
  writeFileSync(dir + '/bytes.bin', bytes);
  console.log(createHash('sha256').update(bytes).digest('hex'));`;

describe('files left in attachments/', () => {
  it('are shown with the task, and come back byte by byte', async (test) => {
    const fleet = await openFleet(test);
    await fleet.add({ name: 'one', command: [process.execPath, '-e', LEAVE] });
    const { id, ref } = await fleet.createTask({ title: 'leave something' });
    const [ended] = await fleet.ended([id]);
    expect(ended).toMatchObject({ status: 'done', attempts: 1 });

    // With the result they are all there: nobody waits for them.
    const shown = await flotilla(fleet, 'tasks', 'attachments', ref);
    expect(shown).toContain('Übersicht März.txt');
    expect(shown).toContain('bytes.bin');
    await flotilla(fleet, 'tasks', 'download', ref, 'bytes.bin');
    expect(digest(readFileSync(join(fleet.dir, 'bytes.bin')))).toBe(ended?.resolution);
    expect(await flotilla(fleet, 'tasks', 'download', ref, 'Übersicht März.txt', '--out', '-')).toBe('in words\n');
    await logComplete(fleet, id);
    expect(await fleet.log(id, 'stderr')).toBe('');
    await fleet.audit();
  });

  it('beyond the limits are named in the log, and hold no result up', async (test) => {
    const fleet = await openFleet(test, { FLOTILLA_MAX_ATTACHMENT_BYTES: '100000' });
    // More than the coordinator takes in of what it refuses: it answers while the host still sends.
    const command = [
      'sh',
      '-c',
      'cd "$FLOTILLA_ATTACHMENTS"; echo fits >z; truncate -s 100001 more; truncate -s 300M most; echo said >&2',
    ];
    await fleet.add({ name: 'one', command });
    const { id } = await fleet.createTask({ title: 'leave too much' });
    await fleet.ended([id]);
    const { attachments } = await fleet.client.attachments.list({ params: { id } });
    expect(attachments).toMatchObject([{ name: 'z', size: 5 }]);
    await logComplete(fleet, id);
    const why = 'was not attached: The file is larger than 100000 bytes.';
    expect(await fleet.log(id, 'stderr')).toBe(`said\n[flotilla: more ${why}]\n[flotilla: most ${why}]\n`);
    await fleet.audit();
  });
});
