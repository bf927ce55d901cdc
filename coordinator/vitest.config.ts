import { defineConfig } from 'vitest/config';

import { patchDriver } from './patched-driver.mjs';

export default defineConfig({
  // The driver as the bundle has it.
  plugins: [{ name: 'patched-postgres', enforce: 'pre', transform: (code, id) => patchDriver(id, code) }],
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/lib/postgres.ts'],
    server: { deps: { inline: ['postgres'] } },
    // A process per file, as coordinators have.
    pool: 'forks',
    maxWorkers: 2,
    // Races against real Postgres in real time: one second try for a machine that stalls. The report names what needed it.
    retry: 1,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
