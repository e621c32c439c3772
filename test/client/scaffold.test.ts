import { layers, sequential } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { prepareBackend } from '../../client/tfjs/backend.js';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { randomStream, shuffle } from '../../client/tfjs/random.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { Params, TrainResult, Vectors } from '../../client/types.js';
import type { Task, trainingConfig } from '../../protocol/model.js';
import fixture from '../fixtures/rules/drift.json' with { type: 'json' };
import { bitsOf, divided, requestOf, taskOf } from './support/tfjs.js';

type Flat = readonly number[];
type ByClient = Readonly<Record<string, Flat | undefined>>;

let task: Task;
beforeAll(async () => {
  await prepareBackend();
  const model = sequential({
    layers: [layers.dense({ name: 'dense', inputShape: [2], units: 1 })],
  });
  const labels = { kind: 'value' } as const;
  task = await taskOf(model, { shape: [2], labels }, { loss: 'meanSquaredError', metrics: [] });
});

/** The fixture's flat vectors, [weights, bias]. */
function paramsOf(flat: Flat): Params {
  return {
    'dense/kernel': Float32Array.from(flat.slice(0, 2)),
    'dense/bias': Float32Array.from(flat.slice(2)),
  };
}

function flatOf(params: Params | undefined): number[] {
  return [...params!['dense/kernel'], ...params!['dense/bias']];
}

function dataOf(client: string): Dataset {
  const { x, y } = fixture.clients[client as keyof typeof fixture.clients];
  return { features: Float32Array.from(x.flat()), labels: Float32Array.from(y), size: y.length };
}

function expectClose(actual: Flat, expected: Flat): void {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => expect(actual[i]).toBeCloseTo(value, 5));
}

/** Plays the clients of the fixture's rounds; what goes down is the fixture's. */
async function play(
  rounds: readonly { params: ByClient; model: Flat; control?: Flat }[],
  config: z.input<typeof trainingConfig>,
  vectors: readonly string[],
): Promise<Record<string, TrainResult>[]> {
  const kept: Record<string, Vectors | undefined> = {};
  const results: Record<string, TrainResult>[] = [];
  let before: { model: Flat; control?: Flat } = { model: fixture.start };
  for (const [i, round] of rounds.entries()) {
    const trained: Record<string, TrainResult> = {};
    for (const client of Object.keys(round.params)) {
      const request = await requestOf(
        task,
        { batchSize: 8, learningRateDecay: fixture.decay, ...config },
        {
          ...{ model: paramsOf(before.model), round: i + 1, vectors },
          ...(before.control && { broadcast: { control: paramsOf(before.control) } }),
          ...(kept[client] && { kept: kept[client] }),
        },
      );
      trained[client] = await tfjsTrainer({ data: dataOf(client) })(request);
      kept[client] = trained[client].keep;
    }
    results.push(trained);
    before = round;
  }
  return results;
}

/** Steps on batches of two, in f64; every pass shuffles the order of the one before. */
function descended(
  { x, y }: { readonly x: number[][]; readonly y: number[] },
  steps: number,
  rate: number,
  seed: number,
): number[] {
  const now = [...fixture.start];
  const order = Int32Array.from(y.keys());
  const random = randomStream(seed, 'shuffle');
  const perPass = Math.ceil(y.length / 2);
  for (let step = 0; step < steps; step++) {
    const begin = 2 * (step % perPass);
    if (begin === 0) shuffle(order, random);
    const rows = [...order.subarray(begin, begin + 2)];
    const errors = rows.map((row) => now[0] * x[row][0] + now[1] * x[row][1] + now[2] - y[row]);
    const gradient = [0, 1, 2].map((i) =>
      rows.reduce((sum, row, n) => sum + (2 * errors[n] * (x[row][i] ?? 1)) / rows.length, 0),
    );
    gradient.forEach((g, i) => (now[i] -= rate * g));
  }
  return now;
}

describe('SCAFFOLD at the client', () => {
  it('trains, sends and keeps what the paper says, over three rounds', async () => {
    const { rounds, steps, rate } = fixture.scaffold;
    const config = { steps, learningRate: rate, controlVariates: true };
    const results = await play(rounds, config, ['control']);
    rounds.forEach((round, i) => {
      const [params, changes, own]: ByClient[] = [round.params, round.changes, round.own];
      for (const [client, result] of Object.entries(results[i])) {
        expect(result.numSteps).toBe(3);
        expectClose(flatOf(result.params), params[client]!);
        expectClose(flatOf(result.vectors?.control), changes[client]!);
        expectClose(flatOf(result.keep?.control), own[client]!);
      }
    });
  });

  it('keeps exactly what it says that it changed', async () => {
    const config = { batchSize: 2, epochs: 3, controlVariates: true };
    const kept = { control: paramsOf([0.3, -0.7, 0.11]) };
    const broadcast = { control: paramsOf([-0.2, 0.05, 0.9]) };
    const request = await requestOf(task, config, { kept, broadcast, vectors: ['control'] });
    const { vectors, keep } = await tfjsTrainer({ data: dataOf('a') })(request);
    const sum = flatOf(kept.control).map((ci, i) => Math.fround(ci + flatOf(vectors?.control)[i]));
    expect(flatOf(keep?.control)).toEqual(sum);
  });

  it('steps as plain SGD where c is c_i', async () => {
    const same = { control: paramsOf([0.3, -0.7, 0.11]) };
    const config = { batchSize: 2, epochs: 3 };
    const plain = await tfjsTrainer({ data: dataOf('a') })(await requestOf(task, config));
    const steered = await tfjsTrainer({ data: dataOf('a') })(
      await requestOf(
        task,
        { ...config, controlVariates: true },
        { kept: same, broadcast: same, vectors: ['control'] },
      ),
    );
    expect(bitsOf(steered.params)).toEqual(bitsOf(plain.params));
    expect(plain.keep).toBeUndefined();
  });

  it.each([
    [{ controlVariates: true, momentum: 0.9 }, 'momentum'],
    [{ controlVariates: true, dynamicAlpha: 0.1 }, 'dynamicAlpha'],
  ])('is refused where it has no meaning: %j', async (config, word) => {
    const request = await requestOf(task, config, { vectors: ['control'] });
    const training = tfjsTrainer({ data: dataOf('a') })(request);
    await expect(training).rejects.toMatchObject({ code: 'bad_request' });
    await expect(training).rejects.toThrow(word);
  });

  it('is not made where the configuration does not ask for it', async () => {
    const request = await requestOf(task, {}, { vectors: ['control'] });
    const training = tfjsTrainer({ data: dataOf('a') })(request);
    await expect(training).rejects.toMatchObject({ code: 'missing_vector' });
  });

  it('refuses a kept vector of another model', async () => {
    const kept = {
      control: { 'dense/kernel': Float32Array.of(1), 'dense/bias': Float32Array.of(1) },
    };
    const request = await requestOf(task, { controlVariates: true }, { kept });
    const training = tfjsTrainer({ data: dataOf('a') })(request);
    await expect(training).rejects.toMatchObject({ code: 'bad_model' });
  });
});

describe('FedDyn at the client', () => {
  it('trains and keeps what the paper says, over three rounds', async () => {
    const { rounds, steps, rate, alpha } = fixture.feddyn;
    const config = { steps, learningRate: rate, dynamicAlpha: alpha };
    const results = await play(rounds, config, []);
    rounds.forEach((round, i) => {
      const [params, own]: ByClient[] = [round.params, round.own];
      for (const [client, result] of Object.entries(results[i])) {
        expect(result.vectors).toBeUndefined();
        expectClose(flatOf(result.params), params[client]!);
        expectClose(flatOf(result.keep?.gradient), own[client]!);
      }
    });
  });

  it('steps as FedProx in its first round', async () => {
    const results = [];
    for (const config of [{ dynamicAlpha: 0.5 }, { proximalMu: 0.5 }]) {
      const request = await requestOf(task, { batchSize: 2, epochs: 2, ...config });
      results.push(bitsOf((await tfjsTrainer({ data: dataOf('a') })(request)).params));
    }
    expect(results[0]).toEqual(results[1]);
  });
});

describe('steps in place of epochs', () => {
  const trained = async (config: z.input<typeof trainingConfig>): Promise<TrainResult> =>
    tfjsTrainer({ data: dataOf('a') })(await requestOf(task, { batchSize: 2, ...config }));

  it('are the same where they make whole epochs', async () => {
    // Five examples in batches of two: three steps an epoch.
    const [bySteps, byEpochs] = [await trained({ steps: 6 }), await trained({ epochs: 2 })];
    expect(bitsOf(bySteps.params)).toEqual(bitsOf(byEpochs.params));
    expect(bySteps.metrics).toEqual(byEpochs.metrics);
    expect([bySteps.numSteps, byEpochs.numSteps]).toEqual([6, 6]);
  });

  it('go round and round, in another order each time', async () => {
    const model = paramsOf(fixture.start);
    const config = { steps: 5, batchSize: 2, learningRate: 0.25 };
    const request = await requestOf(task, config, { model, seed: 9 });
    const { params, numSteps } = await tfjsTrainer({ data: dataOf('a') })(request);
    expect(numSteps).toBe(5);
    expectClose(flatOf(params), descended(fixture.clients.a, 5, 0.25, 9));
  });

  it('may be fewer than a pass has batches', async () => {
    const { numSteps, numExamples } = await trained({ steps: 1, epochs: 7 });
    expect([numSteps, numExamples]).toEqual([1, 5]);
  });

  it('cannot be had with the updates of single batches', async () => {
    const request = await requestOf(task, { steps: 3 }, { vectors: ['batch'] });
    const training = tfjsTrainer({ data: divided(4, 2) })(request);
    await expect(training).rejects.toMatchObject({ code: 'bad_request' });
    await expect(training).rejects.toThrow(/epochs/);
  });
});
