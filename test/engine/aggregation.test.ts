/** Updates at rest, as aggregation reads them. */
import { describe, expect, it } from 'vitest';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import type { TensorSpec } from '../../protocol/model.js';
import { layoutOf } from '../../server/core/layout.js';
import { putBlob } from '../../server/engine/checkpoints.js';
import { openUpdate } from '../../server/engine/update-file.js';
import { World } from './support/world.js';

describe('aggregating a large cohort', () => {
  it('reads a batch of updates at a time: a process has only so many files', async () => {
    const count = 80;
    const names = Array.from({ length: count }, (_, i) => [`c${i}`, 'source'] as const);
    const world = await World.create({
      spec: { rounds: 1, evaluateEvery: 0 },
      clients: Object.fromEntries(names),
    });
    const life = world.boot();
    await life.engine.start();
    let most = 0;
    world.gather();
    world.pause = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      const { phase } = (await world.store.currentRound(world.run.id))!;
      if (phase === 'aggregating') most = Math.max(most, life.storage.underWay());
    };
    await world.play();
    expect(await world.outcomes()).toHaveLength(count);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(32);
  });
});

describe('what is recorded of a round', () => {
  it('has the diagnostics of every rule', async () => {
    const world = await World.create({ spec: { rounds: 1, evaluateEvery: 0 } });
    await world.open();
    await world.play();
    const [{ diagnostics }] = await world.store.rounds(world.run.id);
    const { updateNorm, effectiveClients, meanUpdateNorm } = diagnostics;
    // 11, 18 and 25 examples: 54^2 / (11^2 + 18^2 + 25^2)
    expect(effectiveClients).toBeCloseTo(2916 / 1070, 12);
    const records = await world.store.assignments(world.run.id, 1, 1);
    const norms = records.map(({ update }) => update!.norm);
    expect(meanUpdateNorm).toBeCloseTo((norms[0] + norms[1] + norms[2]) / 3, 12);
    expect(updateNorm).toBeGreaterThan(0);
    expect(updateNorm).toBeLessThanOrEqual(Math.max(...norms));
  });
});

describe('an update at rest', () => {
  const specs: TensorSpec[] = ['kernel', 'dense/kernel'].map((name) => {
    return { name, shape: [2], dtype: 'float32', role: 'shared' };
  });

  it('has the vectors that it was sent with, however tensors are named', async () => {
    const blobs = createMemoryBlobStore();
    const data = (first: number) => ({ shape: [2], data: Float32Array.of(first, first + 1) });
    const file = encodeSafetensors({
      'delta/kernel': data(1),
      'delta/dense/kernel': data(3),
      'batch.0/kernel': data(5),
      'batch.0/dense/kernel': data(7),
    });
    const blob = await blobs.open((await putBlob(blobs, file)).sha256);
    const facts = {
      ...{ clientId: 'ada', role: 'source' as const, numExamples: 1, numSteps: 1, metrics: {} },
      ...{ norm: 1, maxAbs: 1, baseVersion: 0, staleness: 0 },
    };
    const update = await openUpdate(blob, facts, layoutOf(specs, 'shared'));
    expect(update.vectors).toEqual(['delta', 'batch.0']);
    expect(Array.from(await update.read('batch.0', 0, 4))).toEqual([5, 6, 7, 8]);
    expect(Array.from(await update.read('delta', 1, 2))).toEqual([2, 3]);
    await expect(update.read('batch.1', 0, 4)).rejects.toMatchObject({ code: 'missing_vector' });
    const memory = new Float32Array(6).fill(-1);
    await update.readInto('delta', 1, memory.subarray(2, 5));
    expect(Array.from(memory)).toEqual([-1, -1, 2, 3, 4, -1]);
  });
});
