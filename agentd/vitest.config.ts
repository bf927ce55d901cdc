import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/build.ts'],
    // Each file works with its own coordinators and state directories; real processes need real time on a busy machine.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    maxWorkers: 3,
    // Real processes against real time: one second try for a machine that stalls. The report names what needed it.
    retry: 1,
  },
});
