// Bundles the coordinator into dist/. Dependencies stay outside, but for postgres.js, which is patched on the way in.
import { build } from 'esbuild';

import { patchedDriver } from './patched-driver.mjs';

await build({
  absWorkingDir: import.meta.dirname,
  entryPoints: ['src/main.ts', 'src/admin.ts'],
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  alias: { '@flotilla/shared': '../shared/src/index.ts' },
  plugins: [patchedDriver],
  sourcemap: true,
  outdir: 'dist',
  logLevel: 'warning',
});
