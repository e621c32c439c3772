/** Taking part in rounds, seen from a coordinator that the test plays. */
import { describe, expect, it } from 'vitest';
import type { TrainRequest } from '../../client/types.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import {
  accept,
  FakeCoordinator,
  receiptFor,
  sha256,
  task,
  TOKEN,
} from './support/fake-coordinator.js';
import {
  coordinator,
  clock,
  log,
  useHarness,
  start,
  finishRun,
  trained,
  nowTrain,
  heldTraining,
  until,
} from './support/harness.js';

useHarness();

describe('taking part in a round', () => {
  it('trains on the checkpoint and uploads the change of each tensor that travels', async () => {
    const requests: TrainRequest[] = [];
    const summary = start({
      backends: ['wasm'],
      train: (request) => {
        requests.push(request);
        const result = { ...trained(request), numSteps: 3, metrics: { loss: 0.5 } };
        return Promise.resolve(result);
      },
    });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await log.nth('receipt');
    coordinator.emit('weighed', { assignmentId: 'a1', round: 4, version: 4, weight: 0.25 });
    finishRun();

    const { receipts, ...rest } = await summary;
    const [arrival] = coordinator.arrivals;
    expect(rest).toEqual({
      status: 'completed',
      reason: null,
      runId: 'r',
      clientId: 'anna',
      role: 'target',
      rounds: [4],
      weights: [{ assignmentId: 'a1', round: 4, version: 4, weight: 0.25 }],
      bytesUp: arrival.body.byteLength,
      bytesDown: coordinator.assignment('a1').checkpoint.bytes,
    });
    expect(receipts).toEqual([receiptFor(arrival)]);
    expect(coordinator.hellos).toEqual([
      {
        protocolVersion: 1,
        sdkVersion: expect.any(String) as string,
        backends: ['wasm'],
        trains: true,
        evaluates: false,
        oracleBatches: 0,
      },
    ]);
    expect(requests[0]).toMatchObject({ round: 4, role: 'target', seed: 77, vectors: [] });
    expect(requests[0].config.learningRate).toBe(0.25);
    expect(requests[0].task).toEqual(task);
    expect(requests[0].model).toEqual({
      'dense/kernel': Float32Array.of(1, 2, 3, 4),
      'dense/bias': Float32Array.of(-1, 0.5),
      'norm/mean': Float32Array.of(10, 20),
      'base/kernel': Float32Array.of(7),
    });

    expect(arrival.sha256).toBe(sha256(arrival.body));
    expect(arrival.authorization).toBe(`Bearer ${TOKEN}`);
    expect(arrival.path).toBe('/v1/assignments/a1/update');
    const { tensors, metadata } = decodeSafetensors(arrival.body);
    expect({ ...tensors }).toEqual({
      'delta/dense/kernel': { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, 0, 0, 0) },
      'delta/dense/bias': { dtype: 'F32', shape: [2], data: Float32Array.of(1, 0) },
      'delta/norm/mean': { dtype: 'F32', shape: [2], data: Float32Array.of(1, 0) },
    });
    expect(JSON.parse(metadata['tributary.update'])).toEqual({
      assignmentId: 'a1',
      numExamples: 10,
      numSteps: 3,
      metrics: { loss: 0.5 },
    });
  });

  it('takes up the assignments that the welcome lists', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train: nowTrain });
    expect((await log.nth('receipt')).receipt.status).toBe('accepted');
  });

  it('understands an assignment that overtakes the welcome', async () => {
    coordinator.onHello = (socket) => {
      socket.emit('assignment', coordinator.assignment('a1'));
      return undefined;
    };
    const roles: string[] = [];
    void start({
      train: (request) => {
        roles.push(request.role);
        return nowTrain(request);
      },
    });
    await log.nth('receipt');
    expect(roles).toEqual(['target']);
    expect(log.of('closed')).toEqual([]);
  });

  it('begins an assignment once, however often it is told', async () => {
    const { train, requests, release } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train });
    await until(() => requests.length === 1);
    coordinator.emit('assignment', coordinator.assignment('a1'));
    coordinator.emit('run', { status: 'running', round: 4, rounds: 9, version: 3 });
    await log.nth('run');
    release();
    await log.nth('receipt');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    coordinator.emit('run', { status: 'running', round: 5, rounds: 9, version: 4 });
    await log.nth('run', 2);
    expect(requests).toHaveLength(1);
    expect(coordinator.arrivals).toHaveLength(1);
    expect(log.of('assigned')).toHaveLength(1);
  });

  it('evaluates and trains the same version on one download, one after the other', async () => {
    let active = 0;
    const work = async <T>(value: T): Promise<T> => {
      active++;
      expect(active).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      active--;
      return value;
    };
    coordinator.answers = [
      (arrival) => {
        if (arrival.path.endsWith('/update')) accept(arrival);
        else arrival.response.json({ taken: true });
      },
    ];
    void start({
      // In place on purpose: what the function does to its model must not reach the evaluation.
      train: ({ model }) => {
        model['dense/kernel'].fill(100);
        return work({ params: model, numExamples: 1 });
      },
      evaluate: ({ model }) => {
        expect(model['dense/kernel']).toEqual(Float32Array.of(1, 2, 3, 4));
        return work({ numExamples: 5, sums: { loss: 1.5, accuracy: 4 } });
      },
    });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('t'));
    const uploadPath = '/v1/assignments/e/evaluation';
    coordinator.emit('assignment', coordinator.assignment('e', { kind: 'evaluate', uploadPath }));
    const [evaluated] = await Promise.all([log.nth('evaluated'), log.nth('receipt')]);

    expect(evaluated.taken).toBe(true);
    const posted = coordinator.arrivals.find(({ path }) => path === uploadPath);
    expect(JSON.parse(new TextDecoder().decode(posted?.body))).toEqual({
      numExamples: 5,
      sums: { loss: 1.5, accuracy: 4 },
    });
    const update = coordinator.arrivals.find(({ path }) => path.endsWith('/update'));
    const { tensors } = decodeSafetensors(update?.body ?? new Uint8Array());
    expect(tensors['delta/dense/kernel'].data).toEqual(Float32Array.of(99, 98, 97, 96));
    expect(coordinator.gets.filter((path) => path.includes('checkpoints'))).toHaveLength(1);
    expect(coordinator.gets.filter((path) => path.endsWith('task'))).toHaveLength(1);
  });

  it('reports progress at most four times a second, and the last of it', async () => {
    const { train, requests, release } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train });
    await until(() => requests.length === 1);
    const [request] = requests;
    for (const fraction of [0.1, 0.2, 0.3]) request.progress({ fraction, loss: 2 });
    clock.advance(249);
    request.progress({ fraction: 0.4, loss: NaN });
    expect(log.of('progress')).toHaveLength(1);
    clock.advance(1);
    clock.advance(250);
    request.progress({ fraction: 7 });
    await until(() => coordinator.progresses.length === 3);
    expect(coordinator.progresses).toEqual([
      { assignmentId: 'a1', fraction: 0.1, loss: 2 },
      { assignmentId: 'a1', fraction: 0.4 },
      { assignmentId: 'a1', fraction: 1 },
    ]);
    release();
    await log.nth('receipt');
    request.progress({ fraction: 0.9 });
    clock.advance(1000);
    expect(log.of('progress')).toHaveLength(3);
  });

  it('answers the questions of a rule with loss and gradient', async () => {
    const file = encodeSafetensors({
      'dense/bias': { shape: [2], data: Float32Array.of(5, 6) },
      'dense/kernel': { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      'norm/mean': { shape: [2], data: Float32Array.of(8, 9) },
    });
    coordinator.files.set('/v1/questions/q1/params', file);
    coordinator.answers = [(arrival) => arrival.response.json({ taken: true })];
    const opened: unknown[] = [];
    void start({
      oracle: {
        batches: 2,
        open: (given, buffers) => {
          opened.push([given.name, buffers]);
          const lossAndGrad = (params: Float32Array, batch: number) =>
            Promise.resolve({ loss: 0.1 + batch, grad: params.map((value) => -value) });
          return Promise.resolve({ lossAndGrad });
        },
      },
    });
    await log.nth('connected');
    expect(coordinator.hellos[0]).toMatchObject({ trains: false, oracleBatches: 2 });
    for (const batch of [0, 1]) {
      coordinator.emit('question', {
        id: `q${batch}`,
        path: '/v1/questions/q1/params',
        sha256: sha256(file),
        batch,
        answerPath: `/v1/questions/q${batch}/answer`,
        remainingMs: 1000,
      });
      await log.nth('answered', batch + 1);
    }
    expect(opened).toEqual([['toy', { 'norm/mean': Float32Array.of(8, 9) }]]);
    const { body, path, sha256: stated } = coordinator.arrivals[1];
    expect(path).toBe('/v1/questions/q1/answer');
    expect(stated).toBe(sha256(body));
    const { tensors, metadata } = decodeSafetensors(body);
    expect(metadata).toEqual({ loss: '1.1' });
    expect({ ...tensors }).toEqual({
      'dense/kernel': { dtype: 'F32', shape: [2, 2], data: Float32Array.of(-1, -2, -3, -4) },
      'dense/bias': { dtype: 'F32', shape: [2], data: Float32Array.of(-5, -6) },
    });
  });

  it('reaches a coordinator under a path prefix', async () => {
    const prefixed = await FakeCoordinator.start('/fl');
    prefixed.open = [prefixed.assignment('a1')];
    const summary = start({ url: `${prefixed.url}/?from=mail`, train: nowTrain });
    await log.nth('receipt');
    prefixed.emit('run', { status: 'stopped', round: 4, rounds: 9, version: 4, reason: 'enough' });
    expect(await summary).toMatchObject({ status: 'stopped', reason: 'enough', rounds: [4] });
    await prefixed.close();
  });

  it('goes on after a message that it does not understand', async () => {
    void start({ train: nowTrain });
    await log.nth('connected');
    coordinator.emitRaw('assignment', { ...coordinator.assignment('x'), kind: 'dance' });
    expect((await log.nth('problem')).error.message).toMatch(/^assignment: kind: /);
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await log.nth('receipt');
  });
});
