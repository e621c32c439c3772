/** A run whose cohort is too small for the attackers that its rule assumes never starts. */
import { describe, expect, it } from 'vitest';
import { World } from './support/world.js';

async function created(name: string, options: Record<string, number>, size: number) {
  const spec = { rule: { name, options }, cohort: { size }, quorum: { min: 1 } };
  const world = await World.create({ spec, clients: { ada: 'source' } });
  return world;
}

describe('a run of a robust rule', () => {
  it.each([
    ['krum', { attackers: 2 }, 6, 7],
    ['multi-krum', { attackers: 0.3 }, 2, 3],
    ['bulyan', {}, 2, 3],
    ['median', { attackers: 3 }, 6, 7],
    ['trimmed-mean', { attackers: 2 }, 9, 10],
    ['dnc', { attackers: 4 }, 8, 9],
  ])('%s %j is refused a cohort of %i, and created with %i', async (name, options, few, enough) => {
    await expect(created(name, options, few)).rejects.toMatchObject({
      code: 'rule_needs',
      message: `the rule "${name}" needs ${enough} updates, and the cohort has ${few}`,
    });
    await expect(created(name, options, enough)).resolves.toBeDefined();
  });
});
