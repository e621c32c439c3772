/** Simulated clients on the real engine, all in memory. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Params, TrainFunction } from '../../client/types.js';
import { task as taskSchema } from '../../protocol/model.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createLoopback } from '../../server/adapters/loopback.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import { systemClock } from '../../server/adapters/system-clock.js';
import { tfjsOracles } from '../../server/adapters/tfjs-oracle.js';
import { randomStream, shuffled } from '../../server/core/random.js';
import { putBlob } from '../../server/engine/checkpoints.js';
import { createEngine } from '../../server/engine/create-engine.js';
import type { Engine } from '../../server/engine/engine.js';
import type { ArrivalOrder } from '../../server/simulation/schedule.js';
import { Schedule } from '../../server/simulation/schedule.js';
import { simulatedClients } from '../../server/simulation/simulated-client.js';

const SIZE = 1000;
const task = taskSchema.parse({
  name: 'noise',
  model: {
    format: 'opaque',
    body: {},
    tensors: [
      { name: 'w', shape: [10, SIZE / 10] },
      { name: 'b', shape: [7] },
      { name: 'mean', shape: [3], role: 'buffer' },
    ],
  },
  data: { features: { shape: [1] }, labels: { kind: 'value' } },
});

/** Moves every weight by noise that depends on the assignment's seed alone. */
const train: TrainFunction = ({ model, seed, vectors }) => {
  const noisy = (purpose: string, scale: number, base?: Params): Params => {
    const random = randomStream(seed, purpose);
    return Object.fromEntries(
      Object.entries(model).map(([name, values]) => [
        name,
        values.map((_, i) => (base?.[name][i] ?? 0) + scale * (random.uniform() - 0.5)),
      ]),
    );
  };
  return Promise.resolve({
    params: noisy('delta', 0.3, model),
    numExamples: 1 + (seed % 97),
    numSteps: 2,
    metrics: { learningRate: 0.1 },
    ...(vectors.includes('batch') && {
      vectors: { 'batch.0': noisy('batch.0', 0.2), 'batch.1': noisy('batch.1', 0.2) },
    }),
  });
};

const names = ['ada', 'Bo', 'cy', 'dot', 'eve'];
const open: Engine[] = [];
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});

interface Outcome {
  readonly status: string;
  /** sha256 of every checkpoint. */
  readonly checkpoints: (string | undefined)[];
  readonly weights: Record<string, number | null | undefined>;
  /** Clients in the order in which their receipts came. */
  readonly arrivals: string[];
}

async function play(
  rule: RunSpecInput['rule'],
  order?: ArrivalOrder,
  seed = 3,
  enrolment: readonly string[] = names,
): Promise<Outcome> {
  const [store, blobs, loopback] = [createMemoryStore(), createMemoryBlobStore(), createLoopback()];
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const engine = createEngine({
    store,
    blobs,
    transport: loopback.transport,
    clock: systemClock(),
    oracles: tfjsOracles(blobs),
    log: silent,
  });
  open.push(engine);
  loopback.bind(engine);
  const zeros = task.model.tensors.map(({ name, shape }) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5);
    return [name, { shape, data }] as const;
  });
  const init = await putBlob(blobs, encodeSafetensors(Object.fromEntries(zeros)));
  const rounds = 3;
  const run = await engine.createRun({
    name: 'noise',
    task,
    rule,
    seed,
    rounds,
    init: { blob: init.sha256 },
    cohort: { size: names.length, waitMs: 60_000 },
    quorum: { min: names.length },
  } satisfies RunSpecInput);

  const arrivals: string[] = [];
  const schedule = new Schedule(order);
  const clients = simulatedClients({ engine, loopback, blobs, task, schedule });
  const status = await new Promise<string>((resolve, reject) => {
    const connectAll = async (): Promise<void> => {
      for (const name of enrolment) {
        const role = name === 'eve' ? 'target' : 'source';
        const { client } = await engine.enrol(run.id, name, role);
        await clients.connect({
          client,
          train,
          onReceipt: (receipt) => void arrivals.push(`${receipt.clientId} ${receipt.status}`),
          onRun: (state) => {
            if (state.status !== 'running') resolve(state.status);
          },
          onFailure: reject,
        });
      }
    };
    connectAll().catch(reject);
  });
  const versions = await Promise.all(
    Array.from({ length: rounds + 1 }, (_, version) => store.checkpoint(run.id, version)),
  );
  const updates = await store.assignments(run.id, rounds, 1);
  return {
    status,
    checkpoints: versions.map((checkpoint) => checkpoint?.sha256),
    weights: Object.fromEntries(updates.map((a) => [a.clientId, a.update?.weight])),
    arrivals,
  };
}

const reversed: ArrivalOrder = (ids) => [...ids].reverse();
const random: ArrivalOrder = (ids, round) => shuffled(ids, randomStream(round, 'arrival'));

describe('rounds of simulated clients', () => {
  it('complete, with an accepted update of every client in every round', async () => {
    const { status, checkpoints, arrivals, weights } = await play({ name: 'fedavg' });
    expect(status).toBe('completed');
    expect(new Set(checkpoints).size).toBe(4);
    expect(checkpoints).not.toContain(undefined);
    expect(arrivals).toHaveLength(3 * names.length);
    expect(arrivals.every((arrival) => arrival.endsWith(' accepted'))).toBe(true);
    const given = Object.values(weights).map((weight) => weight ?? NaN);
    expect(given.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
  });

  it.each([
    { name: 'fedavg' },
    { name: 'median' },
    { name: 'fedda', options: { beta: 'auto' } },
    { name: 'fedgp', options: { beta: 'auto' } },
  ])('give the same bits in whatever order updates arrive: $name', async (rule) => {
    const plain = await play(rule);
    const turned = await play(rule, reversed);
    const mixed = await play(rule, random, 3, [...names].reverse());
    expect(turned.arrivals).not.toEqual(plain.arrivals);
    expect(mixed.arrivals).not.toEqual(plain.arrivals);
    for (const other of [turned, mixed]) {
      expect(other.status).toBe('completed');
      expect(other.checkpoints).toEqual(plain.checkpoints);
      expect(other.weights).toEqual(plain.weights);
    }
  });

  it('give other bits for another seed', async () => {
    const [one, other] = [
      await play({ name: 'fedavg' }),
      await play({ name: 'fedavg' }, undefined, 4),
    ];
    expect(other.checkpoints[0]).toBe(one.checkpoints[0]);
    expect(other.checkpoints[3]).not.toBe(one.checkpoints[3]);
  });
});
