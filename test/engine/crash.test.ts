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

/** Calls that change what is stored. */
const changes =
  /^(store\.(commit|record|report|drop)|blobs\.(stage|delete)|blob\.(commit|discard))$/;

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

  it.each<['fail' | 'die', Moment, string]>([
    ['die', 'before', 'the coordinator dies just before it, and another one is started'],
    ['die', 'after', 'the coordinator dies just after it, and another one is started'],
    ['fail', 'before', 'it fails, and nobody restarts anything'],
    ['fail', 'after', 'it succeeds but seems to fail'],
  ])('ends the same whichever call it is where (%s %s) %s', async (how, when) => {
    const problems: string[] = [];
    for (const [index, name] of calls.entries()) {
      // Without its storage, a coordinator does not start. And to die between two questions is to
      // die before the next change; a question whose answer is lost is one that failed.
      if (index === 0 || ((how === 'die' || when === 'after') && !changes.test(name))) continue;
      problems.push(...(await play(index + 1, how, when)));
    }
    expect(problems).toEqual([]);
  });
});
