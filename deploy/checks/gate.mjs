// `make test`: runs every check and every test, goes on after a failure, and ends in one line, "N passed, N failed"
// (tests and checks together). Needs nothing but node: installing is its first step. V=1 streams what the steps say.
// `gate.mjs openclaw` is `make test-openclaw`, `gate.mjs external` is `make test-external`: the same way of running, other
// steps.
import { spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { OPENCLAW_DIR } from './openclaw.mjs';
import { BUNDLED_POSTGRES, POSTGRES, REDIS } from './servers.mjs';
import { killStrays } from './strays.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BIN = join(ROOT, 'node_modules/.bin');
const VERBOSE = process.env.V === '1';
const LONG = process.env.FLOTILLA_TEST_LONG === '1';
const PLAN = process.argv[2] ?? 'test';
// About twice what they take, so that one second try of the slowest scenario fits in.
const MINUTES = { test: 13, openclaw: 9.5, external: 15 };
const WHOLE_RUN_MS = (LONG ? 30 : MINUTES[PLAN]) * 60_000;

const check = (name, argv, limit_s = 120) => ({ name, argv, limit_s, cwd: ROOT });
const tool = (name, bin, ...args) => check(name, [join(BIN, bin), ...args]);
const tests = (name, folder, limit_s = 240, ...args) => ({
  name,
  argv: [join(BIN, 'vitest'), 'run', ...args, '--reporter=default', '--reporter=json'],
  limit_s,
  cwd: join(ROOT, folder),
  report: `${name.replaceAll(/\W+/g, '-')}.json`,
});

// Checks only read, so two run side by side; tests care about time and have the machine to themselves.
// A step that installs uses npm's cache, which is in the person's home.
const SETUP = { ...check('set-up', ['make', 'deps'], 300), installs: true };
const BUNDLES = tool('bundles', 'turbo', 'run', 'build', '--output-logs=errors-only');
const CHECKS = [
  tool('types', 'tsc', '-b'),
  tool('format', 'oxfmt', '--check'),
  tool('lint', 'oxlint'),
  tool('dead code', 'knip', '--no-progress'),
  tool('boundaries', 'turbo', 'boundaries'),
  check('dependencies', [process.execPath, 'deploy/checks/dependencies.mjs']),
  check('openapi drift', ['npm', 'run', '--silent', '-w', 'coordinator', 'openapi:check']),
];
const TESTS = [
  tests('tests: shared', 'shared'),
  tests('tests: agentd', 'agentd'),
  tests('tests: cli', 'cli'),
  tests('tests: coordinator', 'coordinator', 400),
  tests('tests: system', 'tests', 600),
];

// Its figures mean nothing; that every benchmark still works does.
const BENCH = check('bench: smoke', [process.execPath, '--import', 'tsx', 'bench/src/main.ts', '--smoke'], 150);

const OPENCLAW = {
  ...check('openclaw from npm', [process.execPath, 'deploy/checks/openclaw.mjs'], 500),
  installs: true,
};
const OPENCLAW_TESTS = {
  ...tests('tests: openclaw', 'tests', LONG ? 900 : 400, '--config', 'openclaw/vitest.config.ts'),
  env: { FLOTILLA_TEST_OPENCLAW: OPENCLAW_DIR },
};

const SERVERS = {
  ...check('postgres, redis', [process.execPath, 'deploy/checks/servers.mjs'], 240),
  installs: true,
};
const EXTERNAL_TESTS = [
  { ...tests('jobs: redis', 'coordinator', 240, 'test/jobs.test.ts'), env: { FLOTILLA_TEST_REDIS: REDIS } },
  { ...tests('system: postgres 15', 'tests', 600), env: { FLOTILLA_TEST_POSTGRES: POSTGRES } },
  { ...tests('system: bundled 18', 'tests', 600), env: { FLOTILLA_TEST_POSTGRES: BUNDLED_POSTGRES } },
];

const started = performance.now();
const groups = new Set(); // process groups of running steps
const total = { passed: 0, failed: 0 };

// One folder holds all that the run writes outside the checkout; the embedded database drops root and must pass through.
const scratch = mkdtempSync(join(tmpdir(), 'flt-'));
chmodSync(scratch, 0o711);
mkdirSync(join(scratch, 'home'));

const TICK_MS = 1_000;
const STALL_MS = 10_000;
let ticked = started;
// Scenarios in real time fail when the machine is suspended or its disk hangs. The report must say so: it is not in the code.
setInterval(() => {
  const stood_ms = performance.now() - ticked - TICK_MS;
  ticked = performance.now();
  if (stood_ms > STALL_MS) console.log(`note    the machine stood still for ${Math.round(stood_ms / 1000)} s`);
}, TICK_MS).unref();

/** The steps' environment: no settings of the person's own Flotilla, databases, make or editor; a home of their own. */
const environment = (step) => {
  const foreign =
    /^(FLOTILLA_(?!TEST_)|PG|DATABASE_URL$|REDIS_URL$|PORT$|MAKE|MFLAGS$|VITEST|XDG_|NODE_ENV$|FORCE_COLOR$|GIT_)/;
  const inherited = Object.entries(process.env).filter(([key]) => !foreign.test(key));
  const own = { TMPDIR: scratch, LEFTHOOK: '0', NO_COLOR: '1', TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' };
  const home = step.installs ? {} : { HOME: join(scratch, 'home') };
  return { ...Object.fromEntries(inherited), ...own, ...home, ...step.env, FLOTILLA_GATE: scratch };
};

const killGroup = (pid) => {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group has ended by itself.
  }
};

/** Runs one program to its end: exit code (null when it was stopped for taking too long) and what it said. */
const run = (step, argv) =>
  new Promise((resolve) => {
    const log = join(scratch, `${step.name.replaceAll(/\W+/g, '-')}.log`);
    const output = VERBOSE ? 'inherit' : openSync(log, 'w');
    // A group of its own: the step's end, its time limit and Ctrl-C each end all of it. A file, not a pipe: a process
    // left behind cannot hold the run up.
    const child = spawn(argv[0], argv.slice(1), {
      cwd: step.cwd,
      env: environment(step),
      stdio: ['ignore', output, output],
      detached: true,
    });
    groups.add(child.pid);
    const limit_ms = Math.min(step.limit_s * 1000, WHOLE_RUN_MS - (performance.now() - started));
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      killGroup(child.pid);
    }, limit_ms);
    const end = (code, remark) => {
      clearTimeout(timer);
      if (child.pid !== undefined) killGroup(child.pid);
      groups.delete(child.pid);
      const said = VERBOSE ? '' : readFileSync(log, 'utf8');
      if (!VERBOSE) closeSync(output);
      resolve({ code, said: remark === undefined ? said : `${said}\n${remark}` });
    };
    child.once('error', (error) => end(1, `cannot start ${argv[0]}: ${error.message}`));
    child.once('exit', (code, signal) => {
      if (late) end(null, `stopped after ${Math.round(limit_ms / 1000)} s`);
      else end(code, signal === null ? undefined : `ended by ${signal}`);
    });
  });

const REPORTED_LINES = 15; // of each failure; enough for its sentence, its difference and where it stands
const LOG_TAIL_LINES = 100;

const lines = (text, from, to) => text.trim().split('\n').slice(from, to).join('\n');

const firstLines = (name, message) => `${name}\n${lines(message, 0, REPORTED_LINES)}`;

/** What failed in a report of vitest, and what passed at a second try only: each with the beginning of its message. */
const failures = (files) =>
  files
    .flatMap(({ name, assertionResults, message }) => [
      ...(message ? [firstLines(name, message)] : []),
      ...assertionResults
        .filter(({ failureMessages }) => failureMessages.length > 0)
        .map(({ fullName, status, failureMessages }) =>
          firstLines(
            `${fullName}${status === 'passed' ? ' (passed at the second try)' : ''}`,
            failureMessages.join('\n'),
          ),
        ),
    ])
    .join('\n\n');

/** What a report of vitest counts, and what to show of a failed run: the failures, not the thousand lines around them. */
const count = (path, code, said) => {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'));
    const named = failures(report.testResults);
    // A file that cannot be loaded or an unhandled rejection fails the run without failing a test.
    return {
      passed: report.numPassedTests,
      failed: code === 0 ? 0 : Math.max(report.numFailedTests, 1),
      skipped: report.numPendingTests + report.numTodoTests,
      said: named || (code === 0 ? '' : lines(said, -LOG_TAIL_LINES)),
    };
  } catch {
    return { passed: 0, failed: 1, skipped: 0, said: lines(said, -LOG_TAIL_LINES) };
  }
};

const indented = (text) => stripVTControlCharacters(text).trim().replaceAll(/^/gm, '        ');

const note = (step, result, seconds) => {
  total.passed += result.passed;
  total.failed += result.failed;
  const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : '';
  const detail = step.report === undefined ? '' : `  ${result.passed} passed, ${result.failed} failed${skipped}`;
  console.log(
    `${result.failed > 0 ? 'FAILED' : 'ok    '}  ${step.name.padEnd(20)} ${seconds.toFixed(1).padStart(6)} s${detail}`,
  );
  if (result.said !== '') console.log(indented(result.said));
};

const perform = async (step) => {
  const begun = performance.now();
  const report = step.report === undefined ? null : join(scratch, step.report);
  const { code, said } = await run(step, report === null ? step.argv : [...step.argv, `--outputFile.json=${report}`]);
  const passed = code === 0 ? 1 : 0;
  const result = report === null ? { passed, failed: 1 - passed, said: passed ? '' : said } : count(report, code, said);
  note(step, result, (performance.now() - begun) / 1000);
  return result.failed === 0;
};

const sideBySide = async (steps, width) => {
  const waiting = steps.values(); // one iterator that the lanes share
  const lane = async () => {
    for (const step of waiting) await perform(step);
  };
  await Promise.all(Array.from({ length: width }, lane));
};

const clean = () => {
  for (const pid of groups) killGroup(pid);
  const strays = killStrays(scratch);
  rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
  return strays;
};

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    clean();
    process.exit(130);
  });
}

const PLANS = {
  test: async () => {
    await sideBySide(CHECKS, 2);
    await sideBySide([...TESTS, BENCH], 1);
  },
  openclaw: async () => {
    if (await perform(OPENCLAW)) await perform(OPENCLAW_TESTS);
  },
  external: async () => {
    if (await perform(SERVERS)) await sideBySide(EXTERNAL_TESTS, 1);
  },
};

if (await perform(SETUP)) {
  await perform(BUNDLES);
  await PLANS[PLAN]();
}
const strays = clean();
const left = { passed: strays.length > 0 ? 0 : 1, failed: strays.length > 0 ? 1 : 0, said: strays.join('\n') };
note({ name: 'nothing left running' }, left, 0);

console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 ? 1 : 0;
