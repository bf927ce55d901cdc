import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/lib/postgres.ts'],
    // A process per file, as coordinators have.
    pool: 'forks',
    maxWorkers: 2,
    // Races against real Postgres in real time: one second try for a machine that stalls. The report names what needed it.
    retry: 1,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
