/** Run specifications with something wrong in them: created as they are, or refused with the reason. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { failure, runSummary } from '../../protocol/http.js';
import { loadRunFile } from '../../server/cli/run-file.js';
import { folder, useFolder } from '../support/folder.js';
import { initialModel, plainRun } from '../support/plain-task.js';
import { sha256 } from '../support/raw-client.js';
import { OPERATOR_TOKEN } from '../support/stage.js';
import { jsonText, spoilt } from './support/arbitraries.js';
import type { Victim } from './support/victim.js';
import { openVictim } from './support/victim.js';

useFolder();
let victim: Victim;
beforeAll(async () => {
  victim = await openVictim();
});
afterAll(() => victim.close());

const good = {
  ...plainRun(2),
  rule: { name: 'trimmed-mean', options: { beta: 0 } },
  optimizer: { name: 'adam', options: { eta: 0.1 } },
  after: [{ name: 'ema', options: {} }],
  training: { epochs: 1, batchSize: 8, learningRate: 0.1 },
  trainingByRole: { source: { batchSize: 4 } },
  caps: { cohortMax: 64, deltaMax: 8 },
  earlyStop: { metric: 'error', patience: 3 },
  init: { blob: sha256(initialModel) },
};

it('over REST', { timeout: 240_000 }, async () => {
  let created = 0;
  let sent = 0;
  await fc.assert(
    fc.asyncProperty(spoilt(good), async (spec) => {
      if (++sent === 200) victim.warm();
      const response = await fetch(`${victim.url}/v1/runs`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${OPERATOR_TOKEN}`,
          'content-type': 'application/json',
        },
        body: jsonText(spec),
      });
      const answer: unknown = await response.json();
      if (response.status === 201) {
        // Made as it was sent; stopped, so that runs do not pile up.
        const { id } = runSummary.parse(answer);
        await victim.coordinator.api.stop(id);
        created++;
        return;
      }
      const { error } = failure.parse(answer);
      expect(response.status, error.message).toBeLessThan(500);
      expect(error.message.length).toBeGreaterThan(3);
    }),
    { numRuns: 1000 },
  );
  // Not every change is a fault: were all refused, the reason would not be the change.
  expect(created).toBeGreaterThan(20);
  expect(created).toBeLessThan(900);
});

it('from a file', async () => {
  const path = join(folder, 'run.json');
  const texts = fc.oneof(
    spoilt(good).map((value) => jsonText(value)),
    fc.string(),
    fc
      .constant(JSON.stringify(good))
      .chain((text) => fc.nat({ max: text.length }).map((n) => text.slice(0, n))),
  );
  const api = { putBlob: (bytes: Uint8Array) => Promise.resolve(sha256(bytes)) };
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      await writeFile(path, text);
      const error: unknown = await loadRunFile(path, api).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      if (error === null) return;
      refused++;
      expect(error).toBeInstanceOf(TributaryError);
      expect((error as TributaryError).status).toBeLessThan(500);
    }),
    { numRuns: 1000 },
  );
  // As above: some of them are run files still.
  expect(refused).toBeGreaterThan(500);
  expect(refused).toBeLessThan(950);
});

it('and after all that nothing has happened', () => victim.expectUnharmed());
