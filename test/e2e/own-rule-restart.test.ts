/** A coordinator that was restarted without its leave to run rules from files: clients wait for it. */
import { afterEach, expect, it } from 'vitest';
import type { TrainFunction } from '../../client/types.js';
import { loadRuleFile } from '../../server/adapters/rule-modules.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import type { Coordinator } from '../../server/app.js';
import { connectApi } from '../../server/cli/api.js';
import { dismissAll, participate } from '../support/participant.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  putUpdate,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('each');
leaveAfterEach();
afterEach(dismissAll);

const refused = {
  code: 'storage_unavailable',
  retryable: true,
  message: expect.stringContaining('TRIBUTARY_RULE_FILES=allow') as string,
};

it('no client of a run with such a rule is sent away, and the run goes on when it may', async () => {
  const storage = { store: createMemoryStore(), blobs: createMemoryBlobStore() };
  const start = (ruleFiles: 'allow' | 'refuse'): Promise<Coordinator> =>
    startCoordinator({ ...storage, ruleFiles });
  const { rule, code } = await loadRuleFile('examples/rules/log-examples.ts');
  const before = await start('allow');
  const module = await connectApi(before.url, OPERATOR).putBlob(code);
  const run = await createRun(before, { rounds: 1, rule: { name: rule.name, module } });
  const { token } = await enrol(before, run.id, 'ada');
  const { id } = await (await Peer.join(before.url, token)).assignment();
  await before.close();

  const refusing = await start('refuse');
  const answer = await new Peer(refusing.url, { token }).hello();
  expect(answer).toMatchObject({ ok: false, error: refused });
  const upload = await putUpdate(refusing, id, token, updateFile(id));
  expect(upload.status).toBe(503);
  expect(await errorOf(upload)).toMatchObject(refused);
  // An operator, who can do something about it, is told what is the matter.
  const creating = createRun(refusing, { rule: { name: rule.name, module } });
  await expect(creating).rejects.toThrow('"rule_unknown"');
  await refusing.close();

  const { url } = await start('allow');
  const train: TrainFunction = ({ model }) => Promise.resolve({ params: model, numExamples: 3 });
  const { ended } = participate({ url, token, name: 'ada', train });
  expect((await ended).status).toBe('completed');
});
