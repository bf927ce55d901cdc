// postgres.js as the bundle and the tests get it: patched on the way in (docs/adr/0009).
import { readFileSync } from 'node:fs';

/**
 * postgres.js 3.4.9 writes to a null socket when a connection dies between a query and the next tick, outside of any
 * promise, and loses that query (porsager/postgres #1066, #1154, #1208; docs/adr/0009). Each patch must match exactly
 * once: a newer driver fails the build here instead of running unpatched.
 */
const connectionPatches = [
  [
    '  function nextWrite(fn) {\n',
    `  function forgetWrite() {
    clearImmediate(nextWriteTimer)
    chunk = nextWriteTimer = null
  }

  function nextWrite(fn) {
    if (!socket || chunk === null) {
      forgetWrite()
      error(Errors.connection('CONNECTION_CLOSED', options, socket))
      return false
    }
`,
  ],
  ['    clearImmediate(nextWriteTimer)\n    if (socket) {\n', '    forgetWrite()\n    if (socket) {\n'],
  [
    "    clearImmediate(nextWriteTimer)\n    socket.removeListener('data', data)\n    socket.removeListener('connect', connected)\n    idleTimer",
    "    forgetWrite()\n    socket.removeListener('data', data)\n    socket.removeListener('connect', connected)\n    idleTimer",
  ],
  // Between a socket's `error` and its `close` the loop goes on, and what is asked on that connection meanwhile was neither
  // sent nor refused. It waited for ever, and so did what came after it, since the next connection counted it as sent.
  [
    "    !hadError && (query || sent.length) && error(Errors.connection('CONNECTION_CLOSED', options, socket))\n",
    `    if (query || sent.length) error(Errors.connection('CONNECTION_CLOSED', options, socket))
    query = results = errorResponse = null
    result = new Result()
`,
  ],
  // A server that vanished without a word (a failover, a cut cable) is noticed by the kernel after 15 minutes at the earliest
  // while something is asked of it. `answer_timeout`: so many seconds without a byte while an answer is due end it.
  [
    '      , connectTimer = timer(connectTimedOut, options.connect_timeout)\n',
    `      , connectTimer = timer(connectTimedOut, options.connect_timeout)
      , answerTimer = timer(() => socket.destroy(), options.answer_timeout)
`,
  ],
  [
    '        : (query = q, query.active = true)\n\n',
    '        : (query = q, query.active = true, answerTimer.start())\n\n',
  ],
  ['  function data(x) {\n', '  function data(x) {\n    answerTimer.start()\n'],
  ['      incomings = null\n    }\n  }\n', '      incomings = null\n    }\n    query || answerTimer.cancel()\n  }\n'],
  [
    '    lifeTimer.cancel()\n    connectTimer.cancel()\n',
    '    lifeTimer.cancel()\n    connectTimer.cancel()\n    answerTimer.cancel()\n',
  ],
  // Under back-pressure, or as the hundredth query in flight, BEGIN ran without reserving its connection: other requests'
  // writes then joined a transaction that nobody would commit.
  [
    `      return write(toBuffer(q))
        && !q.describeFirst
        && !q.cursorFn
        && sent.length < max_pipeline
        && (!q.options.onexecute || q.options.onexecute(connection))
`,
    `      const open = write(toBuffer(q)) && !q.describeFirst && !q.cursorFn && sent.length < max_pipeline
      return q.options.onexecute ? q.options.onexecute(connection) : open
`,
  ],
];

/**
 * A transaction whose connection is lost goes on: its next query, at the least its `rollback`, would run on that connection
 * after it was opened again for somebody else. Nothing then matches its answer any more, and both wait for ever.
 */
const transactionPatches = [
  ['    let savepoints = 0\n', '    let lost = null\n    let savepoints = 0\n'],
  [
    'new Promise((_, reject) => connection.onclose = reject)',
    `new Promise((_, reject) => connection.onclose = e => {
          lost = e
          while (queries.length) queries.shift().reject(e)
          reject(e)
        })`,
  ],
  [
    '        q.catch(e => uncaughtError || (uncaughtError = e))\n',
    '        q.catch(e => uncaughtError || (uncaughtError = e))\n        if (lost) return q.reject(lost)\n',
  ],
];

/**
 * The connection that was used last is the next one: its backend has its plans made and its memory in the processor's cache.
 * In turn, each of twenty would be cold, and a quiet coordinator's transactions cost a multiple.
 */
const poolPatches = [
  ['      return go(open.shift(), query)\n', '      return go(open.pop(), query)\n'],
  ['    const c = open.length\n      ? open.shift()\n', '    const c = open.length\n      ? open.pop()\n'],
];
const queuePatches = [
  [
    '    push: (x) => (xs.push(x), x),\n',
    `    push: (x) => (xs.push(x), x),
    pop: () => {
      const out = xs.pop()
      if (index === xs.length) {
        index = 0
        xs = []
      }
      return out
    },
`,
  ],
];

const optionPatches = [['    connect_timeout : 30,\n', '    connect_timeout : 30,\n    answer_timeout  : 0,\n']];

const patches = {
  connection: connectionPatches,
  index: [...transactionPatches, ...poolPatches, ...optionPatches],
  queue: queuePatches,
};

const PATCHED_FILE = /[/\\]postgres[/\\]src[/\\](connection|index|queue)\.js$/;

/** A file of the driver as we use it; null for any other file. */
export const patchDriver = (path, contents) => {
  const [, name] = PATCHED_FILE.exec(path) ?? [];
  if (name === undefined) return null;
  let patched = contents;
  for (const [from, to] of patches[name]) {
    if (patched.split(from).length !== 2) throw new Error(`postgres.js changed: a patch of ${path} does not fit`);
    patched = patched.replace(from, () => to);
  }
  return patched;
};

export const patchedDriver = {
  name: 'patched-postgres',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[^./]/ }, ({ path }) =>
      path === '@flotilla/shared' || path === 'postgres' ? undefined : { path, external: true },
    );
    onLoad({ filter: PATCHED_FILE }, ({ path }) => ({
      contents: patchDriver(path, readFileSync(path, 'utf8')),
      loader: 'js',
    }));
  },
};
