/** Vectors that measure parameters, as the rule `fisher` asks for: what admission makes of them. */
import { describe, expect, it } from 'vitest';
import { elements } from '../../protocol/model.js';
import { tensorKey } from '../../protocol/update.js';
import { plainTask } from '../support/plain-task.js';
import type { UpdateParts } from '../support/updates.js';
import { encode, goodUpdate } from '../support/updates.js';
import { World } from './support/world.js';

const spec = {
  deadlineMs: 60_000,
  graceMs: 10_000,
  evaluateEvery: 0,
  rounds: 1,
  rule: { name: 'fisher' },
  quorum: { min: 2, share: 0.5 },
};

/** A good update with this Fisher information of every parameter. */
function informed(id: string, delta: number, information: number): Uint8Array {
  const parts: UpdateParts = goodUpdate({ id }, delta, 3);
  const measures = plainTask.model.tensors
    .filter(({ role }) => role === 'shared')
    .map(({ name, shape }) => {
      const data = new Float32Array(elements(shape)).fill(information);
      return [tensorKey('fisher', name), { shape, data }] as const;
    });
  return encode({ ...parts, tensors: { ...parts.tensors, ...Object.fromEntries(measures) } });
}

describe('an update with Fisher information', () => {
  it('is refused where a value is negative, and may be of any size', async () => {
    const clients = { ada: 'source', Bo: 'source', cy: 'source' } as const;
    const world = await World.create({ spec, clients });
    for (const player of world.players.values()) player.manner = () => 'ignore';
    await world.open();
    const [life] = world.lives;
    const submit = async (name: string, information: number, delta: number): Promise<unknown> => {
      const player = world.player(name);
      const { id } = player.assigned[0];
      const staged = await player.stage(informed(id, delta, information), life);
      const { status, error } = await life.engine.submit(player.client, id, staged);
      return [status, error?.code ?? null];
    };
    expect(await submit('ada', -0.25, 1)).toEqual(['rejected', 'bad_facts']);
    // Far over caps.deltaMax, which is about what is folded.
    expect(await submit('Bo', 300, 0.5)).toEqual(['accepted', null]);
    expect(await submit('cy', 100, 0.5)).toEqual(['accepted', null]);
    await world.pass(spec.deadlineMs);
    const weights = (await world.outcomes()).filter((line) => line.includes('accepted'));
    expect(weights).toEqual(['1.1 train Bo accepted 0.75', '1.1 train cy accepted 0.25']);
  });
});
