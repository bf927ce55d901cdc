import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['openclaw/**/*.test.ts'],
    // A turn of OpenClaw takes ten seconds of a processor, most of it to start.
    testTimeout: 300_000,
    hookTimeout: 60_000,
    maxConcurrency: 5,
  },
});
