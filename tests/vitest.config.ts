import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['system/**/*.test.ts'],
    globalSetup: ['lib/external-template.ts'],
    // Every scenario runs a coordinator, its Postgres and several agentd; more side by side would starve their leases.
    maxWorkers: 3,
    // Real processes against real time: one second try for a machine that stalls. The report names what needed it.
    retry: 1,
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
});
