#!/usr/bin/env node
/**
 * Runs Vitest and ends with one plain line, counted from its JSON report: "512 passed, 0 failed,
 * 2 skipped". Arguments go to Vitest.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const report = join('.cache', 'vitest.json');
mkdirSync('.cache', { recursive: true });
rmSync(report, { force: true });

const vitest = join('node_modules', 'vitest', 'vitest.mjs');
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', ...reporters, ...process.argv.slice(2)],
  {
    stdio: 'inherit',
  },
);

const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, success } = JSON.parse(
  readFileSync(report, 'utf8'),
);
const skipped = numPendingTests + numTodoTests;
console.log(`${numPassedTests} passed, ${numFailedTests} failed, ${skipped} skipped`);
const ranNothing = numPassedTests + numFailedTests === 0;
process.exitCode = status === 0 && success && !ranNothing ? 0 : 1;
