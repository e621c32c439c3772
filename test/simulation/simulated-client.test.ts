import { beforeEach, describe, expect, it } from 'vitest';
import type { EvaluateFunction, TrainFunction, TrainRequest } from '../../client/types.js';
import type { Assignment } from '../../protocol/messages.js';
import type { Task } from '../../protocol/model.js';
import { task as taskSchema } from '../../protocol/model.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import type { Receipt } from '../../protocol/update.js';
import { UPDATE_METADATA } from '../../protocol/update.js';
import { createLoopback } from '../../server/adapters/loopback.js';
import type { ArrivalOrder } from '../../server/simulation/schedule.js';
import { Schedule } from '../../server/simulation/schedule.js';
import { simulatedClients } from '../../server/simulation/simulated-client.js';
import type { FakeEngine } from './support/fake-engine.js';
import { assignmentOf, fakeEngine } from './support/fake-engine.js';
import type { TestBlobs } from './support/memory-blobs.js';
import { testBlobs } from './support/memory-blobs.js';

const task: Task = taskSchema.parse({
  name: 'tiny',
  model: {
    format: 'opaque',
    body: {},
    tensors: [
      { name: 'w', shape: [2] },
      { name: 'mean', shape: [1], role: 'buffer' },
      { name: 'ice', shape: [1], role: 'frozen' },
    ],
  },
  data: { features: { shape: [1] }, labels: { kind: 'value' } },
});

let engine: FakeEngine;
let blobs: TestBlobs;
let checkpoint: string;
let opened: number;

beforeEach(async () => {
  engine = fakeEngine();
  blobs = testBlobs();
  checkpoint = await blobs.put(
    encodeSafetensors({
      w: { shape: [2], data: Float32Array.of(1, 2) },
      mean: { shape: [1], data: Float32Array.of(10) },
      ice: { shape: [1], data: Float32Array.of(7) },
    }),
  );
  opened = 0;
  const { open } = blobs;
  blobs.open = (sha256) => {
    opened++;
    return open(sha256);
  };
});

function network(order?: ArrivalOrder) {
  const loopback = createLoopback();
  loopback.bind(engine);
  const schedule = new Schedule(order);
  const clients = simulatedClients({ engine, loopback, blobs, task, schedule });
  return { ...clients, schedule, transport: loopback.transport };
}

function assignment(id: string, changes: Partial<Assignment> = {}): Assignment {
  return assignmentOf({ id, checkpoint: { path: '', sha256: checkpoint, bytes: 0 }, ...changes });
}

/** Adds `step` to every weight, in place: what is sent must not depend on the received copy. */
function stepping(step: number): TrainFunction {
  return ({ model }) => {
    for (const values of Object.values(model)) values.forEach((_, i) => (values[i] += step));
    return Promise.resolve({ params: model, numExamples: 5, numSteps: 3, metrics: { loss: 0.5 } });
  };
}

const client = (id: string) => ({ id, runId: 'run', role: 'source' as const });

/** Lets messages arrive and the work that they start be done. */
async function settled(schedule: Schedule): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await schedule.idle();
}

describe('a simulated client', () => {
  it('trains on the checkpoint and hands in its update in the wire format', async () => {
    const receipts: Receipt[] = [];
    const { connect, schedule, transport } = network();
    const onReceipt = (receipt: Receipt) => void receipts.push(receipt);
    await connect({ client: client('a'), train: stepping(0.25), onReceipt });
    transport.assign('a', assignment('a1'));
    await settled(schedule);

    const [{ id, bytes }] = engine.uploads;
    expect(id).toBe('a1');
    const { tensors, metadata } = decodeSafetensors(bytes);
    // Frozen tensors never travel.
    expect(Object.keys(tensors).sort()).toEqual(['delta/mean', 'delta/w']);
    expect(tensors['delta/w'].data).toEqual(Float32Array.of(0.25, 0.25));
    expect(JSON.parse(metadata[UPDATE_METADATA])).toEqual({
      assignmentId: 'a1',
      numExamples: 5,
      numSteps: 3,
      metrics: { loss: 0.5 },
    });
    expect(receipts.map((receipt) => receipt.assignmentId)).toEqual(['a1']);
  });

  it('passes the assignment on to the training function', async () => {
    const requests: TrainRequest[] = [];
    const train: TrainFunction = (request) => {
      requests.push(request);
      return stepping(1)(request);
    };
    const { connect, schedule, transport } = network();
    await connect({ client: { ...client('a'), role: 'target' }, train });
    const given = assignment('a1', { round: 4, seed: 99 });
    transport.assign('a', { ...given, training: { ...given.training, batchSize: 4 } });
    await settled(schedule);
    expect(requests[0]).toMatchObject({ task, round: 4, seed: 99, role: 'target', vectors: [] });
    expect(requests[0].config.batchSize).toBe(4);
  });

  it('gives each client its own copy of one decoded checkpoint', async () => {
    const { connect, schedule, transport } = network();
    for (const id of ['a', 'b']) await connect({ client: client(id), train: stepping(1) });
    for (const id of ['a', 'b']) transport.assign(id, assignment(`${id}1`));
    await settled(schedule);
    const deltas = engine.uploads.map(({ bytes }) => decodeSafetensors(bytes).tensors['delta/w']);
    expect(deltas.map(({ data }) => [...(data as Float32Array)])).toEqual([
      [1, 1],
      [1, 1],
    ]);
    expect(opened).toBe(1);
  });

  it('hands in a cohort in the order that the schedule is given, the same bytes', async () => {
    const names = ['a', 'b', 'c'];
    const uploadsIn = async (order?: ArrivalOrder) => {
      engine.uploads.length = 0;
      const { connect, schedule, transport } = network(order);
      for (const [i, id] of names.entries()) {
        await connect({ client: client(id), train: stepping(i + 1) });
      }
      for (const id of names) transport.assign(id, assignment(`${id}1`));
      await settled(schedule);
      return [...engine.uploads];
    };
    const plain = await uploadsIn();
    const turned = await uploadsIn((ids) => [...ids].reverse());
    expect(plain.map((upload) => upload.client)).toEqual(['a', 'b', 'c']);
    expect(turned.map((upload) => upload.client)).toEqual(['c', 'b', 'a']);
    expect([...turned].reverse()).toEqual(plain);
  });

  it('does an assignment once, however often it is told', async () => {
    const { connect, schedule, transport } = network();
    engine.open = [assignment('a1')];
    await connect({ client: client('a'), train: stepping(1) });
    transport.assign('a', assignment('a1'));
    await settled(schedule);
    transport.assign('a', assignment('a1'));
    await settled(schedule);
    expect(engine.uploads).toHaveLength(1);
  });

  it('evaluates and reports', async () => {
    const evaluate: EvaluateFunction = ({ model }) =>
      Promise.resolve({ numExamples: 2, sums: { loss: model.mean[0] } });
    const { connect, schedule, transport } = network();
    await connect({ client: client('a'), evaluate });
    expect(transport.present('run')[0]).toMatchObject({ trains: false, evaluates: true });
    transport.assign('a', assignment('a1', { kind: 'evaluate' }));
    await settled(schedule);
    expect(engine.reports).toEqual([{ id: 'a1', report: { numExamples: 2, sums: { loss: 10 } } }]);
  });

  it.each<[string, TrainFunction, string]>([
    ['training fails', () => Promise.reject(new Error('no data')), 'no data'],
    [
      'the result has another shape',
      () => Promise.resolve({ params: { w: Float32Array.of(1) }, numExamples: 1 }),
      'has 1 elements',
    ],
  ])('declines where %s, and goes on', async (_, train, reason) => {
    const failures: unknown[] = [];
    const { connect, schedule, transport } = network();
    await connect({ client: client('a'), train, onFailure: (error) => void failures.push(error) });
    await connect({ client: client('b'), train: stepping(1) });
    transport.assign('a', assignment('a1'));
    transport.assign('b', assignment('b1'));
    await settled(schedule);
    expect(engine.calls.at(-1)).toContain('declined a1: ');
    expect(engine.calls.at(-1)).toContain(reason);
    expect(failures).toHaveLength(1);
    expect(engine.uploads.map(({ id }) => id)).toEqual(['b1']);
  });

  it('declines where the upload is refused', async () => {
    engine.maxBytes = 10;
    const { connect, schedule, transport } = network();
    await connect({ client: client('a'), train: stepping(1) });
    transport.assign('a', assignment('a1'));
    await settled(schedule);
    expect(engine.calls.at(-1)).toBe('declined a1: more than 10 bytes');
  });

  it('stops, and hands nothing in, when its round closes', async () => {
    const { connect, schedule, transport } = network();
    let reason: unknown;
    const train: TrainFunction = ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          reject(signal.reason as Error);
        });
      });
    await connect({ client: client('a'), train });
    transport.assign('a', assignment('a1'));
    await new Promise((resolve) => setImmediate(resolve));
    transport.closed('run', 'a', 'a1', 'quorum reached');
    await settled(schedule);
    expect(reason).toMatchObject({ name: 'AbortError', message: 'quorum reached' });
    expect(engine.calls).toEqual(['joined a']);
    expect(engine.uploads).toEqual([]);
  });

  it('withdraws results that are held back when it leaves', async () => {
    const { connect, schedule, transport } = network((names) => names);
    let leave = (): void => undefined;
    const trainA = stepping(1);
    const trainB: TrainFunction = (request) => {
      leave();
      return stepping(1)(request);
    };
    leave = await connect({ client: client('a'), train: trainA });
    await connect({ client: client('b'), train: trainB });
    transport.assign('a', assignment('a1'));
    transport.assign('b', assignment('b1'));
    await settled(schedule);
    expect(engine.uploads.map(({ id }) => id)).toEqual(['b1']);
    expect(engine.calls).toEqual(['joined a', 'joined b', 'left a']);
  });
});
