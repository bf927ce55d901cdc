// Bundles agentd into dist/main.js (or --outfile=…). Its idle memory is a promise, so three things are done about it:
// 57 MB instead of 63 MB when idle, and 57 instead of 81 after some tasks (Node 20, measured).
import { build } from 'esbuild';

/** Error messages of zod in 50 languages that nobody reads here: 366 kB of source. */
const withoutLocales = {
  name: 'without-zod-locales',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /locales\/index\.js$/ }, () => ({ path: 'locales', namespace: 'empty' }));
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export {}' }));
  },
};

// Before anything else runs: a daemon that waits gains nothing from optimised code or a large young generation.
const smallHeap =
  "import{setFlagsFromString as set__flag}from'node:v8';for(const flag__ of['--no-opt','--optimize-for-size','--max-semi-space-size=1'])set__flag(flag__);";
// pino is CommonJS and asks for node:* modules by require.
const commonJs = "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";

const outfile = process.argv.find((argument) => argument.startsWith('--outfile='))?.slice('--outfile='.length);

await build({
  absWorkingDir: import.meta.dirname,
  entryPoints: ['src/main.ts'],
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  alias: { '@flotilla/shared': '../shared/src/index.ts' },
  plugins: [withoutLocales],
  // Names stay, so that a stack trace can be read without a source map.
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: true,
  banner: { js: smallHeap + commonJs },
  outfile: outfile ?? 'dist/main.js',
  logLevel: 'warning',
});
