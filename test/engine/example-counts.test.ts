/** Examples that a client only claims: capped, flagged, and the same bits as for the capped number. */
import { expect, it } from 'vitest';
import { encode, goodUpdate } from '../support/updates.js';
import { World } from './support/world.js';

const clients = { ada: 'source', Bo: 'source' } as const;
const spec = { evaluateEvery: 0, rounds: 1, training: { batchSize: 4, epochs: 2 } };

interface Outcome {
  readonly model: string;
  readonly given: Record<string, unknown>;
}

/** One round in which ada reports so many examples, and Bo three. */
async function round(adasExamples: number, examplesMax: number): Promise<Outcome> {
  const world = await World.create({ spec: { ...spec, caps: { examplesMax } }, clients });
  for (const player of world.players.values()) player.manner = () => 'ignore';
  const { engine } = await world.open();
  for (const [name, examples, value] of [
    ['ada', adasExamples, 0.25],
    ['Bo', 3, -0.5],
  ] as const) {
    const player = world.player(name);
    const [open] = player.assigned;
    const staged = await player.stage(encode(goodUpdate(open, value, examples)), world.lives[0]);
    expect(await engine.submit(player.client, open.id, staged)).toMatchObject({
      status: 'accepted',
    });
  }
  await world.settle();
  const rows = await world.store.assignments(world.run.id, 1, 1);
  const given = Object.fromEntries(
    rows.map(({ clientId, update }) => [
      clientId,
      [update?.numExamples, update?.weight, update?.flags],
    ]),
  );
  const checkpoint = await world.store.checkpoint(world.run.id, 1);
  return { model: checkpoint!.sha256, given };
}

it('examples above the cap count as the cap, bit for bit, and are flagged', async () => {
  const honest = await round(5, 5);
  const boast = await round(90_000, 5);
  expect(honest.given).toEqual({
    Bo: [3, 0.375, []],
    ada: [5, 0.625, ['reports 5 examples, but no more than 4 fit into 2 steps of 4 in 2 epochs']],
  });
  expect(boast.model).toBe(honest.model);
  expect(boast.given.ada).toEqual([
    5,
    0.625,
    [
      'reports 90000 examples, and 5 count (caps.examplesMax)',
      'reports 90000 examples, but no more than 4 fit into 2 steps of 4 in 2 epochs',
    ],
  ]);
});
