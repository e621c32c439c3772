/** Sites that look before they train, and clients that enrol themselves, at a real coordinator. */
import { afterEach, describe, expect, it } from 'vitest';
import { plan } from '../../protocol/http.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { connectApi } from '../../server/cli/api.js';
import { dismissAll, participate } from '../support/participant.js';
import { plainRun } from '../support/plain-task.js';
import { createPlainRun } from '../support/stage.js';
import { closeCoordinators, OPERATOR, request, startCoordinator } from './support/coordinator.js';

afterEach(dismissAll);
closeCoordinators('each');

type Spec = Partial<RunSpecInput>;

async function openRun(clients: number, spec: Spec, ...names: string[]) {
  const coordinator = await startCoordinator();
  const api = connectApi(coordinator.url, OPERATOR);
  const roles = Object.fromEntries(names.map((name) => [name, 'source' as const]));
  const run = await createPlainRun(api, plainRun(clients, spec), roles);
  return { coordinator, api, run, url: coordinator.url };
}

describe('the plan of a run', () => {
  it('tells a client what it will be asked, and nobody else', async () => {
    const spec: Spec = {
      rounds: 7,
      keepUpdates: true,
      training: { epochs: 2 },
      trainingByRole: { source: { batchSize: 4 } },
    };
    const { coordinator, api, run } = await openRun(1, spec, 'ada');
    const path = `/v1/runs/${run.id}/plan`;
    const told = plan.parse(await (await request(coordinator, path, run.tokens.ada)).json());
    expect(told).toMatchObject({
      runId: run.id,
      name: 'plain',
      role: 'source',
      rule: { name: 'fedavg', options: {}, module: null },
      rounds: 7,
      join: 'token',
      keepUpdates: true,
      training: { epochs: 2, batchSize: 4 },
      vectors: [],
      answers: false,
    });
    const other = await createPlainRun(api, plainRun(1), { bob: 'source' });
    for (const [token, status] of [
      [other.tokens.bob, 403],
      [OPERATOR, 403],
      [null, 401],
    ] as const) {
      expect((await request(coordinator, path, token)).status).toBe(status);
    }
  });

  it('names the vectors and metrics that its rule asks for', async () => {
    const rule = { name: 'scaffold' };
    const training = { momentum: 0 };
    const { coordinator, run } = await openRun(1, { rule, training }, 'ada');
    const answer = await request(coordinator, `/v1/runs/${run.id}/plan`, run.tokens.ada);
    const told = plan.parse(await answer.json());
    expect(told.vectors).toEqual([{ name: 'control', many: false }]);
    expect(told.training.controlVariates).toBe(true);
  });
});

describe('a site', () => {
  it('that refuses does not hold up the others', async () => {
    const spec: Spec = { rounds: 2, evaluateEvery: 0, cohort: { size: 1, overSelection: 1 } };
    const { run, url } = await openRun(1, spec, 'ada', 'bob');
    const policy = { models: ['0'.repeat(64)] };
    const ada = participate({ name: 'ada', url, token: run.tokens.ada, policy });
    expect(await ada.ended).toMatchObject({ status: 'refused', clientId: 'ada', receipts: [] });
    expect(ada.began).toEqual([]);
    const bob = participate({ name: 'bob', url, token: run.tokens.bob });
    expect(await bob.ended).toMatchObject({ status: 'completed', rounds: [1, 2] });
  });

  it('agrees once to all that the assignments then ask, and its update leaves clipped', async () => {
    const { api, run, url } = await openRun(1, { rounds: 3, evaluateEvery: 0 }, 'ada');
    const asked: string[] = [];
    const policy = { clipNorm: 0.125, maxRounds: 3, metrics: ['loss'], minExamples: 10 };
    const ada = participate({
      name: 'ada',
      url,
      token: run.tokens.ada,
      policy,
      review: ({ run: { name } }) => asked.push(name) > 0,
    });
    expect(await ada.ended).toMatchObject({ status: 'completed', rounds: [1, 2, 3] });
    expect(asked).toEqual(['plain']);
    const [update] = (await api.round(run.id, 2)).updates;
    expect(Object.keys(update.metrics)).toEqual(['loss']);
    // Over shared tensors; the client's is over buffers, too.
    expect(update.norm).toBeGreaterThan(0);
    expect(update.norm).toBeLessThanOrEqual(0.125);
  });
});

describe('an open run', () => {
  it('takes clients that enrol themselves', async () => {
    const { run, url, api } = await openRun(2, { rounds: 2, join: 'open' });
    const [ada, bob] = ['ada', 'bob'].map((name) => participate({ name, url, run: run.id }));
    expect(await ada.ended).toMatchObject({ status: 'completed', rounds: [1, 2] });
    expect(await bob.ended).toMatchObject({ clientId: 'bob', role: 'source' });
    expect((await api.run(run.id)).clients.map(({ id }) => id)).toEqual(['ada', 'bob']);
  });

  it('is not any other', async () => {
    const { run, url } = await openRun(1, {});
    await expect(participate({ name: 'ada', url, run: run.id }).ended).rejects.toMatchObject({
      code: 'forbidden',
    });
  });

  it('that approves lets a site wait until it is approved', async () => {
    const { run, url, api } = await openRun(1, { rounds: 1, join: 'approved' });
    const ada = participate({ name: 'ada', url, run: run.id, review: () => true });
    const { error } = await ada.log.nth('retry');
    expect(error).toMatchObject({ code: 'not_approved' });
    expect(ada.log.of('connected')).toEqual([]);
    await api.approveSite(run.id, 'ada');
    expect(await ada.ended).toMatchObject({ status: 'completed', rounds: [1] });
  });
});
