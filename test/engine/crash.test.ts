/**
 * The coordinator dies, or its storage fails, at each of its calls in turn, before the call or after
 * it took effect. What is stored in the end may not show it.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import type { Moment } from './support/faults.js';
import { at } from './support/faults.js';
import { World } from './support/world.js';

/** An optimizer with a state, an evaluation between rounds, and one at the end. */
const spec: Partial<RunSpecInput> = {
  rounds: 2,
  optimizer: { name: 'momentum', options: { beta: 0.6 } },
};
const clients = { ada: 'source', Bo: 'source' } as const;

let undisturbed: Record<string, unknown>;
let calls: readonly string[];

beforeAll(async () => {
  const world = await World.create({ spec, clients });
  const life = await world.open();
  await world.play();
  undisturbed = await world.record();
  calls = [...life.storage.calls];
});

/** Plays with a fault at one call; says what differs from a run without one. */
async function play(call: number, how: 'fail' | 'die', when: Moment): Promise<string[]> {
  const world = await World.create({ spec, clients });
  const start = world.clock.now();
  await world.open(at(call, how, when));
  await world.play();
  // Seconds, for what was put off; far from any deadline.
  const took = world.clock.now() - start;
  await world.pass(3_000);
  const problems: string[] = [];
  const found = await world.record();
  for (const [name, value] of Object.entries(undisturbed)) {
    if (JSON.stringify(found[name]) !== JSON.stringify(value)) problems.push(`other ${name}`);
  }
  if (took > 5_000) problems.push(`waited for ${took} ms`);
  if ((await world.leftovers()).length > 0) problems.push('updates are left over');
  problems.push(...(await world.brokenPromises()));
  return problems.map((problem) => `${how} ${when} call ${call}, ${calls[call - 1]}: ${problem}`);
}

describe('a run', () => {
  it('is what the tests below take it for', () => {
    expect(undisturbed).toMatchObject({
      status: 'completed',
      phases: ['1.1 closed', '2.1 closed'],
      evaluations: [{ version: 1, numExamples: 29 }, { version: 2 }],
      ledger: [
        ...['run-created', 'client-enrolled', 'client-enrolled'],
        ...['round-began', 'round-committed', 'round-began', 'round-committed', 'run-completed'],
      ],
    });
    expect(undisturbed.outcomes).toEqual([
      ...['1.1 train Bo accepted 0.6206896551724138', '1.1 evaluate Bo accepted -'],
      ...['1.1 train ada accepted 0.3793103448275862', '1.1 evaluate ada accepted -'],
      ...['2.1 train Bo accepted 0.6206896551724138', '2.1 evaluate Bo accepted -'],
      ...['2.1 train ada accepted 0.3793103448275862', '2.1 evaluate ada accepted -'],
    ]);
    const different = new Set(calls);
    for (const name of ['store.commit', 'store.record', 'blob.commit', 'blobs.delete']) {
      expect(different).toContain(name);
    }
    expect(calls.length).toBeGreaterThan(100);
  });

  describe.each<Moment>(['before', 'after'])('ends the same where, %s any call,', (when) => {
    it('the coordinator dies, and another one is started', async () => {
      const problems: string[] = [];
      for (let call = 1; call <= calls.length; call++) {
        problems.push(...(await play(call, 'die', when)));
      }
      expect(problems).toEqual([]);
    });

    it('the storage fails once, and nobody restarts anything', async () => {
      const problems: string[] = [];
      // The first call is that of a coordinator that cannot start without its storage.
      for (let call = 2; call <= calls.length; call++) {
        problems.push(...(await play(call, 'fail', when)));
      }
      expect(problems).toEqual([]);
    });
  });
});
