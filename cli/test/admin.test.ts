import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createHome, type Home, until } from './lib/flotilla.ts';

let home: Home;
let env: Record<string, string>;

/** A coordinator's program in name only: says what it was called with, and ends as it is told. */
const PROGRAM = `
const { PROGRAM_EXIT: exit = '0', DATABASE_URL: url = null } = process.env;
process.on('SIGINT', () => { process.stderr.write('cleaned up\\n'); process.exit(130); });
process.stdout.write(JSON.stringify({ argv: process.argv.slice(2), url }) + '\\n');
process.stderr.write('said\\n');
if (exit === 'never') setInterval(() => {}, 1000);
else process.exit(Number(exit));
`;

beforeEach(async () => {
  home = await createHome();
  await mkdir(join(home.dir, 'coordinator/dist'), { recursive: true });
  await writeFile(join(home.dir, 'coordinator/dist/admin.js'), PROGRAM);
  env = { FLOTILLA_COORDINATOR_DIR: join(home.dir, 'coordinator'), DATABASE_URL: 'postgres://db/flotilla' };
});
afterEach(() => home.close());

describe('admin', () => {
  it.each([
    [
      ['backup', 'x.backup'],
      ['backup', '--', 'x.backup'],
    ],
    [
      ['backup', '-'],
      ['backup', '--', '-'],
    ],
    [
      ['check', 'x.backup'],
      ['check', '--', 'x.backup'],
    ],
    [
      ['restore', 'x.backup'],
      ['restore', '--', 'x.backup'],
    ],
    [
      ['restore', '--force', 'x.backup'],
      ['restore', '--force', '--', 'x.backup'],
    ],
  ])('%j runs the coordinator’s program with the same environment and output', async (given, argv) => {
    const { code, stdout, stderr } = await home.run(['admin', ...given], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'said\n' });
    expect(JSON.parse(stdout)).toEqual({ argv, url: 'postgres://db/flotilla' });
  });

  it.each([1, 2, 130])('ends with its exit code %i and adds nothing', async (exit) => {
    const { code, stderr } = await home.run(['admin', 'check', 'x'], { env: { ...env, PROGRAM_EXIT: String(exit) } });
    expect({ code, stderr }).toEqual({ code: exit, stderr: 'said\n' });
  });

  it('lets it clean up after Ctrl-C', async () => {
    const started = home.start(['admin', 'backup', 'x'], { env: { ...env, PROGRAM_EXIT: 'never' } });
    await until(() => started.err().includes('said'), 'the program to run');
    started.signal('SIGINT');
    expect(await started.ended).toMatchObject({ code: 130, stderr: 'said\ncleaned up\n' });
  });

  it('says where it belongs when there is no coordinator here', async () => {
    const { code, stderr } = await home.run(['admin', 'backup', 'x'], {
      env: { FLOTILLA_COORDINATOR_DIR: join(home.dir, 'elsewhere') },
    });
    expect(code).toBe(1);
    expect(stderr).toContain('The coordinator is not installed here');
    expect(stderr).toContain('FLOTILLA_COORDINATOR_DIR');
  });

  it.each([[['backup']], [['backup', 'a', 'b']], [['backup', '--force', 'a']], [['restore', '--what', 'a']], [[]]])(
    'admin %j is a usage error',
    async (args) => {
      expect((await home.run(['admin', ...args], { env })).code).toBe(2);
    },
  );
});
