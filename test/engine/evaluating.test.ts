/** Who evaluates a committed model, and how long it is waited for. */
import { describe, expect, it } from 'vitest';
import { pooled } from '../../server/engine/evaluation.js';
import { World } from './support/world.js';

const times = { deadlineMs: 60_000, graceMs: 10_000, evaluateDeadlineMs: 30_000 };
/** In the order in which they connect: the judge is there before training begins. */
const clients = { judge: 'evaluator', ada: 'source', Bo: 'source' } as const;

async function evaluations(world: World) {
  return (await world.store.rounds(world.run.id)).map(({ evaluation }) =>
    evaluation ? Object.keys(evaluation.sites) : null,
  );
}

describe('an evaluation', () => {
  it('asks who is there and can, evaluators too, after every n-th version and the last', async () => {
    const spec = { ...times, rounds: 5, evaluateEvery: 2 };
    const world = await World.create({ spec, clients });
    world.player('Bo').abilities.evaluates = false;
    await world.open();
    await world.play();
    const sites = ['ada', 'judge'];
    expect(await evaluations(world)).toEqual([null, sites, null, sites, sites]);
    expect(world.player('judge').assigned.map(({ kind }) => kind)).toEqual([
      ...['evaluate', 'evaluate', 'evaluate'],
    ]);
  });

  it('is left out where nobody can, and never is asked for with 0', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    for (const player of world.players.values()) player.abilities.evaluates = false;
    await world.open();
    await world.play();
    expect(await evaluations(world)).toEqual([null]);
    const never = await World.create({ spec: { ...times, rounds: 1, evaluateEvery: 0 }, clients });
    await never.open();
    await never.play();
    expect(await evaluations(never)).toEqual([null]);
  });

  it('ends when those who went away have used up their grace', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    world.player('judge').manner = () => 'ignore';
    await world.open();
    await world.pass(3_000);
    world.player('judge').leave();
    await world.pass(9_999);
    expect(await world.phases()).toEqual(['1.1 evaluating']);
    await world.pass(1);
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await evaluations(world)).toEqual([['Bo', 'ada']]);
  });

  it('ends at its deadline, with the reports that are there, and later ones are not taken', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    world.player('judge').manner = () => 'ignore';
    await world.open();
    await world.pass(29_999);
    expect(await world.phases()).toEqual(['1.1 evaluating']);
    await world.pass(1);
    expect(await evaluations(world)).toEqual([['Bo', 'ada']]);
    const [late] = world.player('judge').assigned;
    expect(world.player('judge').closed).toContain(late.id);
    await world.player('judge').report(late);
    expect(world.player('judge').reports).toEqual(['1 false']);
    expect(await evaluations(world)).toEqual([['Bo', 'ada']]);
  });

  it('that everybody leaves is none', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    for (const player of world.players.values()) {
      player.manner = ({ kind }) => (kind === 'evaluate' ? 'ignore' : 'answer');
    }
    await world.open();
    for (const player of world.players.values()) player.leave();
    await world.play();
    expect(await world.store.run(world.run.id)).toMatchObject({ status: 'completed' });
    expect(await evaluations(world)).toEqual([null]);
  });

  it('happens after a restart too: clients get a moment to come back, and no more', async () => {
    const world = await World.create({ spec: { ...times, rounds: 1 }, clients });
    for (const player of world.players.values()) player.manner = () => 'ignore';
    const first = await world.open();
    for (const name of ['ada', 'Bo']) {
      const player = world.player(name);
      // The last receipt closes the collection: the coordinator dies before it aggregates.
      if (name === 'Bo') void first.engine.close();
      await player.upload(player.assigned[0]);
    }
    first.alive = false;
    for (const player of world.players.values()) {
      player.cut();
      player.manner = () => 'answer';
    }
    await world.boot().engine.start();
    await world.pass(5_000);
    expect(await world.phases()).toEqual(['1.1 aggregating']);
    await world.player('ada').connect();
    expect(await world.phases()).toEqual(['1.1 aggregating']);
    await world.pass(5_000);
    // Bo never came.
    expect(await world.phases()).toEqual(['1.1 closed']);
    expect(await evaluations(world)).toEqual([['ada']]);
  });
});

describe('pooling', () => {
  const record = (clientId: string, numExamples: number, sums: Record<string, number>) => ({
    ...{ id: clientId, runId: 'run', round: 1, attempt: 1, clientId, role: 'source' as const },
    ...{ kind: 'evaluate' as const, baseVersion: 1, state: 'accepted' as const, update: null },
    report: { numExamples, sums },
  });

  it('weighs sites by their examples, and each metric by the sites that report it', () => {
    const evaluation = pooled(4, [
      record('ada', 10, { loss: 20, accuracy: 9 }),
      record('Bo', 30, { loss: 15 }),
      { ...record('cyd', 7, {}), report: null },
    ]);
    expect(evaluation).toEqual({
      version: 4,
      numExamples: 40,
      pooled: { accuracy: 0.9, loss: 35 / 40 },
      sites: {
        ada: { numExamples: 10, metrics: { loss: 2, accuracy: 0.9 } },
        Bo: { numExamples: 30, metrics: { loss: 0.5 } },
      },
    });
    expect(pooled(4, [])).toBeNull();
  });
});
