/** A run with a rule from a file, in a coordinator that is killed: the next one loads the same module. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, onTestFinished } from 'vitest';
import { loadRuleFile } from '../../server/adapters/rule-modules.js';
import { endCommands } from '../support/command.js';
import type { CoordinatorProcess } from '../support/coordinator-process.js';
import { serveProcess } from '../support/coordinator-process.js';
import { Gate } from '../support/gate.js';
import { dismissAll, participate } from '../support/participant.js';
import { plainRun } from '../support/plain-task.js';
import { testDatabase } from '../support/postgres.js';
import { createPlainRun } from '../support/stage.js';

afterEach(dismissAll);

/** Of `log-examples`: ln 2 and ln 8. */
const EXAMPLES = { ada: 1, bob: 7 };
const WEIGHTS = { ada: 0.25, bob: 0.75 };

/** A coordinator that is cleared away after the test, and its data directory. */
async function serve(
  env: Readonly<Record<string, string>> = {},
): Promise<{ coordinator: CoordinatorProcess; dataDir: string }> {
  const [database, dataDir] = [await testDatabase(), await mkdtemp(join(tmpdir(), 'tributary-'))];
  const coordinator = await serveProcess({ databaseUrl: database.url, dataDir, env });
  onTestFinished(async () => {
    await coordinator.stop();
    await endCommands();
    await database.drop();
    await rm(dataDir, { recursive: true, force: true });
  });
  return { coordinator, dataDir };
}

it('goes on under its rule when the coordinator was killed', async () => {
  const { coordinator } = await serve();
  const { api, url } = coordinator;
  const { rule, code, sha256 } = await loadRuleFile('examples/rules/log-examples.ts');
  expect(await api.putBlob(code)).toBe(sha256);
  const spec = plainRun(2, {
    rule: { name: rule.name, module: sha256 },
    rounds: 2,
    evaluateEvery: 0,
  });
  const { id, tokens } = await createPlainRun(api, spec, { ada: 'source', bob: 'source' });

  const restarted = new Gate();
  const hold = (round: number): Promise<void> | undefined =>
    round === 2 ? restarted.pass() : undefined;
  const clients = Object.entries(EXAMPLES).map(([name, numExamples]) =>
    participate({ url, token: tokens[name], name, numExamples, hold }),
  );
  await Promise.all(clients.map((client) => client.training(2)));
  await coordinator.kill();
  await coordinator.start();
  restarted.open();
  const summaries = await Promise.all(clients.map(({ ended }) => ended));

  expect(summaries.map(({ status }) => status)).toEqual(['completed', 'completed']);
  for (const number of [1, 2]) {
    const { updates } = await api.round(id, number);
    for (const { clientId, weight } of updates) {
      expect(weight, `${clientId} in round ${number}`).toBeCloseTo(
        WEIGHTS[clientId as keyof typeof WEIGHTS],
        6,
      );
    }
  }
  const [created] = await api.eventPage(id, 1, 1);
  expect(created.body).toMatchObject({ rule: { name: 'log-examples', module: sha256 } });
});

it('fails its round, not the coordinator, where its rule never ends', async () => {
  const { coordinator, dataDir } = await serve({ TRIBUTARY_AGGREGATION_LIMIT_MS: '1500' });
  const { api, url } = coordinator;
  const path = join(dataDir, 'endless.mjs');
  await writeFile(
    path,
    `import { combinationRule } from 'tributary-fl'; import { z } from 'zod';
     export default combinationRule({
       name: 'endless', paper: 'p', options: z.strictObject({}), needs: {}, combine() { for (;;); },
     });`,
  );
  const { rule, code } = await loadRuleFile(path);
  const own = { name: rule.name, module: await api.putBlob(code) };
  const spec = plainRun(1, { rule: own, rounds: 1, retries: 0, evaluateEvery: 0 });
  const { id, tokens } = await createPlainRun(api, spec, { ada: 'source' });
  const ada = participate({ url, token: tokens.ada, name: 'ada' });
  expect((await ada.ended).status).toBe('failed');
  const { status, reason } = await api.run(id);
  expect(status).toBe('failed');
  expect(reason).toMatch(/round 1: aggregation failed: .*1500 ms/);
});
