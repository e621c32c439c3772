import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // The backend that every machine has: with tfjs-node, bits would differ from one to the next.
    env: { TRIBUTARY_BACKEND: 'wasm' },
    // Vitest leaves one processor free, which of two is half; much of a test is waiting for a process.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
