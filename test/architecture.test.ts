import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** As `npm run architecture` does; its output names each import that goes the wrong way. */
test('imports go one way, without cycles', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    scripts: Record<string, string>;
  };
  const [command, ...args] = scripts.architecture.split(' ');
  const result = spawnSync(`node_modules/.bin/${command}`, args, { encoding: 'utf8' });
  expect(result.stdout + result.stderr).toContain('no dependency violations found');
  expect(result.status).toBe(0);
});

test('core type-checks without Node, DOM or timers', () => {
  const tsc = 'node_modules/typescript/bin/tsc';
  const result = spawnSync(process.execPath, [tsc, '-p', 'server/core/tsconfig.json'], {
    encoding: 'utf8',
  });
  expect(result.stdout).toBe('');
  expect(result.status).toBe(0);
});
