/** A run ends by itself where it no longer gets better. */
import { describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import type { EvaluationReport } from '../../protocol/update.js';
import { World } from './support/world.js';

const clients = { ada: 'source', Bo: 'source' } as const;

/** Every site reports one example with this metric in the n-th evaluation. */
async function reporting(
  spec: Partial<RunSpecInput>,
  metric: (version: number) => EvaluationReport['sums'],
): Promise<World> {
  const world = await World.create({ spec: { rounds: 9, ...spec }, clients });
  for (const player of world.players.values()) {
    player.manner = (assignment) => {
      if (assignment.kind === 'train') return 'answer';
      const report = { numExamples: 1, sums: metric(assignment.baseVersion) };
      for (const { engine } of world.lives) {
        void engine.report(player.client, assignment.id, report);
      }
      return 'ignore';
    };
  }
  await world.open();
  return world;
}

const accuracies = [0.5, 0.7, 0.6, 0.7, 0.65, 0.9];

describe('an early stop', () => {
  it('completes the run with its reason, and tells everybody', async () => {
    const earlyStop = { metric: 'accuracy', patience: 2 };
    const world = await reporting({ earlyStop }, (v) => ({ accuracy: accuracies[v - 1] }));
    await world.play();
    expect((await world.phases()).at(-1)).toBe('4.1 closed');
    const reason =
      'early stop: accuracy has not improved by more than 0 for 2 evaluations; best 0.7 at version 2';
    expect(await world.store.run(world.run.id)).toMatchObject({ status: 'completed', reason });
    const last = (await world.store.events(world.run.id)).at(-1);
    expect(last).toMatchObject({ type: 'run-completed', body: { version: 4, reason } });
    expect(world.player('ada').heard.at(-1)).toMatchObject({ status: 'completed', reason });
    expect(await world.leftovers()).toEqual([]);
  });

  it('goes by evaluations only, where not every round has one', async () => {
    const earlyStop = { metric: 'loss', patience: 2 };
    const world = await reporting({ earlyStop, evaluateEvery: 2 }, (v) => ({ loss: v }));
    await world.play();
    expect((await world.phases()).at(-1)).toBe('6.1 closed');
  });

  it('says nothing where the last round is over anyway', async () => {
    const earlyStop = { metric: 'loss', patience: 2 };
    const world = await reporting({ earlyStop, rounds: 3 }, (v) => ({ loss: v }));
    await world.play();
    const run = await world.store.run(world.run.id);
    expect(run).toMatchObject({ status: 'completed', reason: null });
    expect(await world.phases()).toHaveLength(3);
  });

  it('never comes where no site reports the metric, and the log says so once', async () => {
    const earlyStop = { metric: 'accurracy', patience: 1 };
    const world = await reporting({ earlyStop, rounds: 4 }, () => ({ accuracy: 0.5, loss: 1 }));
    await world.play();
    expect(await world.phases()).toHaveLength(4);
    expect(world.lives[0].complaints).toEqual([
      'early stop: no site reports "accurracy"; there are: accuracy, loss',
    ]);
  });

  it('is refused where nothing is evaluated', async () => {
    const world = await World.create({ clients });
    const { engine } = world.boot();
    const spec = { ...world.run.spec, earlyStop: { metric: 'loss', patience: 1 } };
    await expect(engine.createRun({ ...spec, evaluateEvery: 0 })).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringContaining('evaluateEvery') as string,
    });
    await expect(engine.createRun({ ...spec, evaluateEvery: 3 })).resolves.toBeDefined();
  });
});

/** ada's model gets better; Bo, who claims 9e15 examples, says that it never does. */
async function boasting(examplesMax: number | undefined): Promise<World> {
  const spec = {
    ...{ rounds: 6, earlyStop: { metric: 'accuracy', patience: 2 } },
    ...(examplesMax !== undefined && { caps: { examplesMax } }),
  };
  const world = await World.create({ spec, clients });
  for (const [name, player] of world.players) {
    player.manner = ({ id, kind, baseVersion }) => {
      if (kind === 'train') return 'answer';
      const numExamples = name === 'Bo' ? 9e15 : 10;
      const accuracy = name === 'Bo' ? 0.5 * numExamples : baseVersion;
      const report = { numExamples, sums: { accuracy } };
      for (const { engine } of world.lives) {
        engine.report(player.client, id, report).catch((error: unknown) => refused.push(error));
      }
      return 'ignore';
    };
  }
  const refused: unknown[] = [];
  await world.open();
  await world.play();
  const overCap = expect.objectContaining({ code: 'over_cap' }) as unknown;
  expect(refused).toEqual(examplesMax === undefined ? Array(6).fill(overCap) : []);
  return world;
}

it.each([
  ['is refused', undefined, ['ada'], 0.6],
  ['counts as the cap', 10, ['Bo', 'ada'], 0.55],
])('one site that claims very many examples %s', async (_, examplesMax, sites, last) => {
  const world = await boasting(examplesMax);
  const run = await world.store.run(world.run.id);
  expect(run).toMatchObject({ status: 'completed', reason: null });
  const { evaluation } = (await world.store.round(world.run.id, 6))!;
  expect(Object.keys(evaluation!.sites).sort()).toEqual(sites);
  expect(evaluation!.pooled.accuracy).toBeCloseTo(last, 12);
});
