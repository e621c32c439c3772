/** What README shows is what the repository has, and it runs. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { createCoordinator } from '../server/app.js';
import { connectApi } from '../server/cli/api.js';
import { loadRunFile } from '../server/cli/run-file.js';
import { temporaryFolder } from './support/chromium.js';
import { testDatabase } from './support/postgres.js';

const readme = readFileSync('README.md', 'utf8');
const run = promisify(execFile);

test('each snippet stands word for word in the file that it names', () => {
  const snippets = [...readme.matchAll(/<!-- snippet: (\S+) -->\s+```ts\n([\s\S]*?)```/g)];
  expect(snippets.map(([, path]) => path)).toEqual([
    'examples/smallest-client.ts',
    'server/core/rules/fedavg.ts',
  ]);
  for (const [, path, code] of snippets) expect(readFileSync(path, 'utf8')).toContain(code);
});

test('each link and picture leads to a file', () => {
  const targets = [...readme.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target);
  expect(targets.filter((target) => !existsSync(target))).toEqual([]);
});

test('the smallest client takes part in the example run', async () => {
  const [folder, database] = [await temporaryFolder(), await testDatabase()];
  const coordinator = await createCoordinator({
    databaseUrl: database.url,
    dataDir: folder.path,
    port: 0,
    logLevel: 'silent',
  });
  onTestFinished(async () => {
    await coordinator.close();
    await database.drop();
    await folder.remove();
  });
  const api = connectApi(coordinator.url, coordinator.operatorToken);
  const { id } = await api.createRun({
    ...(await loadRunFile('examples/iris.json', api)),
    rounds: 2,
  });
  const tokens = [];
  for (const name of ['alice', 'bob']) tokens.push((await api.enrol(id, name, 'source')).token);

  const clients = tokens.map((token) =>
    run(process.execPath, [
      '--import',
      'tsx',
      'examples/smallest-client.ts',
      coordinator.url,
      token,
    ]),
  );

  for (const { stdout } of await Promise.all(clients)) {
    expect(stdout).toBe('completed: 2 updates accepted\n');
  }
});
