/** What a rule keeps from round to round: stored as it is, or refused at once. */
import { afterEach, describe, expect, it } from 'vitest';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import type { Blob, BlobStore } from '../../server/core/ports.js';
import type { RuleState } from '../../server/core/rules/rule.js';
import type { StateAt } from '../../server/engine/states.js';
import {
  loadRuleState,
  loadState,
  putState,
  rememberedStates,
} from '../../server/engine/states.js';
import { ODD_RULE, nothing, register } from './support/odd-rule.js';
import { World } from './support/world.js';

let unregister: () => void = () => undefined;
afterEach(() => unregister());

/** What a rule in JavaScript may give as its state, whatever the types say. */
function odd(tensors: object, values: object = {}): RuleState {
  return { tensors, values } as unknown as RuleState;
}

describe('a state', () => {
  it('comes back as it was stored', async () => {
    const blobs = createMemoryBlobStore();
    const state: RuleState = {
      tensors: { b: Float64Array.of(1.5, -0, NaN), a: new Float64Array(0) },
      values: { n: 3, list: [1, 'two', null, { three: true }], none: {} },
    };
    expect(await loadState(blobs, await putState(blobs, state))).toEqual(state);
    expect(await putState(blobs, odd({}))).toBeNull();
  });

  it.each<[string, RuleState, string]>([
    ['a Float32Array', odd({ momentum: Float32Array.of(1) }), '"momentum" is of type Float32Array'],
    ['a plain array', odd({ momentum: [1, 2] }), '"momentum" is of type Array'],
    ['NaN', odd({}, { best: NaN }), '"best" is NaN'],
    ['Infinity', odd({}, { losses: [1, Infinity] }), '"losses.1" is Infinity'],
    ['a Map', odd({}, { by: { client: new Map() } }), '"by.client" is of type Map'],
    ['nothing', odd({}, { last: undefined }), '"last" is of type undefined'],
    ['a function', odd({}, { next: () => 1 }), '"next" is of type function'],
  ])('with %s is refused, naming it', async (_, state, says) => {
    await expect(putState(createMemoryBlobStore(), state)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining(says) as string,
    });
  });

  it('that cannot be stored ends the round that it came from', async () => {
    unregister = register({
      finish: (acc, { model }) =>
        Promise.resolve({
          ...nothing(acc, model.length),
          state: odd({ control: new Float32Array(model.length) }),
        }),
    });
    const world = await World.create({ spec: { rule: { name: ODD_RULE }, retries: 0 } });
    await world.open();
    await world.play();
    expect(await world.store.run(world.run.id)).toMatchObject({
      status: 'failed',
      reason: expect.stringContaining('"rule.control" is of type Float32Array') as string,
    });
  });
});

it('a vector that goes down with a name that clients would take apart is refused', async () => {
  unregister = register({ broadcast: () => ({ 'control/kernel': new Float64Array(9) }) });
  const created = World.create({ spec: { rule: { name: ODD_RULE } } });
  await expect(created).rejects.toThrow('the rule sends "control/kernel", which is no name');
});

describe('states for weighing', () => {
  interface Counted {
    readonly blobs: BlobStore;
    readonly opened: string[];
    readonly bytes: () => number;
  }

  function counted(): Counted {
    const inner = createMemoryBlobStore();
    const opened: string[] = [];
    let bytes = 0;
    const watched = (blob: Blob): Blob => ({
      ...blob,
      read: (start, length) => {
        bytes += length;
        return blob.read(start, length);
      },
      readInto: (start, out) => {
        bytes += out.byteLength;
        return blob.readInto(start, out);
      },
    });
    const open = async (sha256: string): Promise<Blob> => {
      opened.push(sha256);
      return watched(await inner.open(sha256));
    };
    return { blobs: { ...inner, open }, opened, bytes: () => bytes };
  }

  /** The states of versions 0, 1, … of every run. */
  function statesIn(blobs: BlobStore, hashes: readonly (string | null)[]): StateAt {
    return (_run, version) => loadRuleState(blobs, hashes[version]);
  }

  function stateOf(round: number): RuleState {
    return {
      tensors: {
        'rule.control': Float64Array.of(round, -round),
        'optimizer.m': new Float64Array(100_000),
        'after.0.average': new Float64Array(100_000),
      },
      values: { 'rule.round': round, 'optimizer.steps': 2 * round },
    };
  }

  it('have what the rule kept, and not the vectors of optimizer and steps', async () => {
    const { blobs, bytes } = counted();
    const states = rememberedStates(statesIn(blobs, [await putState(blobs, stateOf(4))]));
    const state = await states('run', 0);
    expect(state).toEqual({
      tensors: { 'rule.control': Float64Array.of(4, -4) },
      values: { 'rule.round': 4, 'optimizer.steps': 8 },
    });
    expect(bytes()).toBeLessThan(1000);
  });

  it('are loaded once a round, though runs take turns', async () => {
    const { blobs, opened } = counted();
    const hashes = [
      await putState(blobs, stateOf(1)),
      await putState(blobs, stateOf(2)),
      await putState(blobs, stateOf(3)),
    ];
    const states = rememberedStates(statesIn(blobs, hashes));
    for (let upload = 0; upload < 5; upload++) {
      expect((await states('first', 0)).values).toMatchObject({ 'rule.round': 1 });
      expect((await states('second', 1)).values).toMatchObject({ 'rule.round': 2 });
    }
    expect((await states('first', 2)).values).toMatchObject({ 'rule.round': 3 });
    expect(opened).toEqual(hashes);
  });

  it('are kept for few runs, and failures for none', async () => {
    const { blobs, opened } = counted();
    const missing = 'a'.repeat(64);
    const states = rememberedStates(statesIn(blobs, [await putState(blobs, stateOf(1)), missing]));
    for (let run = 0; run < 20; run++) await states(`run ${run}`, 0);
    await states('run 19', 0);
    expect(opened).toHaveLength(20);
    await states('run 0', 0);
    expect(opened).toHaveLength(21);

    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(states('run', 1)).rejects.toMatchObject({ code: 'blob_damaged' });
    }
    expect(opened.slice(-2)).toEqual([missing, missing]);
  });
});
