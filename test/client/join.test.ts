/** What a client does, seen from a coordinator that the test plays. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClientEvent } from '../../client/events.js';
import { join } from '../../client/join.js';
import type { JoinOptions } from '../../client/join.js';
import type { JoinSummary } from '../../client/events.js';
import type { TrainFunction, TrainRequest, TrainResult } from '../../client/types.js';
import type { ErrorCode } from '../../protocol/errors.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { EventLog } from './support/event-log.js';
import {
  accept,
  FakeCoordinator,
  receiptFor,
  refuse,
  sha256,
  task,
  TOKEN,
} from './support/fake-coordinator.js';
import { VirtualClock, virtualEnvironment } from './support/virtual-clock.js';

let coordinator: FakeCoordinator;
let clock: VirtualClock;
let log: EventLog;
let running: Promise<JoinSummary>[];
let leave: AbortController;

beforeEach(async () => {
  coordinator = await FakeCoordinator.start();
  clock = new VirtualClock();
  log = new EventLog();
  running = [];
  leave = new AbortController();
});

afterEach(async () => {
  leave.abort();
  await Promise.allSettled(running);
  await coordinator.close();
});

/** Joins; every back-off passes in no time. */
function start(options: Partial<JoinOptions> = {}): Promise<JoinSummary> {
  const onEvent = (event: ClientEvent) => {
    log.record(event);
    if ('delayMs' in event) queueMicrotask(() => clock.advance(event.delayMs));
  };
  const { signal } = leave;
  const summary = join(
    { url: coordinator.url, token: TOKEN, signal, onEvent, ...options },
    virtualEnvironment(clock),
  );
  summary.catch(() => undefined);
  running.push(summary);
  return summary;
}

function finishRun(): void {
  coordinator.emit('run', { status: 'completed', round: 4, rounds: 4, version: 4 });
}

/** Adds 1 to the first value of each tensor. */
function trained({ model }: Pick<TrainRequest, 'model'>): TrainResult {
  const entries = Object.entries(model).map(([name, data]) => {
    const values = data.slice();
    values[0] += 1;
    return [name, values] as const;
  });
  return { params: Object.fromEntries(entries), numExamples: 10 };
}

/** Trains when the test says so, and counts how often it was asked. */
function heldTraining() {
  const requests: TrainRequest[] = [];
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const train: TrainFunction = async (request) => {
    requests.push(request);
    await Promise.race([released, aborted(request.signal)]);
    return trained(request);
  };
  return { train, requests, release };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

const nowTrain: TrainFunction = (request) => Promise.resolve(trained(request));

/** Resolves when the condition holds; looked at whenever the event loop has gone round. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

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
    const [{ progress }] = requests;
    for (const fraction of [0.1, 0.2, 0.3]) progress({ fraction, loss: 2 });
    clock.advance(249);
    progress({ fraction: 0.4, loss: NaN });
    expect(log.of('progress')).toHaveLength(1);
    clock.advance(1);
    clock.advance(250);
    progress({ fraction: 7 });
    await until(() => coordinator.progresses.length === 3);
    expect(coordinator.progresses).toEqual([
      { assignmentId: 'a1', fraction: 0.1, loss: 2 },
      { assignmentId: 'a1', fraction: 0.4 },
      { assignmentId: 'a1', fraction: 1 },
    ]);
    release();
    await log.nth('receipt');
    progress({ fraction: 0.9 });
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

describe('when an assignment cannot be done', () => {
  it('declines with the message that training threw, and trains in the next round', async () => {
    let calls = 0;
    void start({
      train: (request) => {
        if (++calls === 1) throw new Error('the scanner is off');
        return nowTrain(request);
      },
    });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await until(() => coordinator.declines.length === 1);
    expect(coordinator.declines).toEqual([{ assignmentId: 'a1', reason: 'the scanner is off' }]);
    coordinator.emit('assignment', coordinator.assignment('a2', { round: 5 }));
    expect((await log.nth('receipt')).work.id).toBe('a2');
  });

  it('says again that it declined, where the coordinator lists the assignment again', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.onDecline = () => {
      if (coordinator.declines.length === 1) coordinator.cutAll();
    };
    let calls = 0;
    void start({
      train: () => {
        calls++;
        return Promise.reject(new Error('no data'));
      },
    });
    await until(() => coordinator.declines.length === 2);
    expect(coordinator.declines[1]).toEqual({ assignmentId: 'a1', reason: 'no data' });
    expect(calls).toBe(1);
  });

  it('declines what it was started without', async () => {
    coordinator.open = [coordinator.assignment('e', { kind: 'evaluate' })];
    void start({ train: nowTrain });
    expect((await log.nth('declined')).error.message).toContain('without "evaluate"');
  });

  it.each([
    ['a missing tensor', { params: {}, numExamples: 1 }, 'params: "dense/kernel" is not'],
    ['no examples', { numExamples: 0 }, 'numExamples'],
    ['a loss that is not a number', { metrics: { loss: NaN } }, 'metrics.loss'],
  ])('declines a result of training with %s', async (_, changes, message) => {
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train: (request) => Promise.resolve({ ...trained(request), ...changes }) });
    expect((await log.nth('declined')).error.message).toContain(message);
    expect(coordinator.arrivals).toEqual([]);
  });

  it('fetches a damaged checkpoint again, and trains on the whole one', async () => {
    const assignment = coordinator.assignment('a1');
    const { path } = assignment.checkpoint;
    const whole = coordinator.files.get(path)!;
    coordinator.files.set(
      path,
      whole.map((byte, index) => (index === 99 ? byte ^ 1 : byte)),
    );
    coordinator.open = [assignment];
    void start({ train: nowTrain });
    const { what, error } = await log.nth('retry');
    expect([what, error]).toMatchObject(['checkpoint', { code: 'wrong_hash' }]);
    coordinator.files.set(path, whole);
    await log.nth('receipt');
  });

  it('refuses a checkpoint that is damaged every time, without training on it', async () => {
    const assignment = coordinator.assignment('a1');
    coordinator.files.set(assignment.checkpoint.path, new Uint8Array(1_000_000));
    coordinator.open = [assignment];
    void start({ train: () => expect.unreachable() });
    expect((await log.nth('declined')).error).toMatchObject({ code: 'wrong_hash' });
    expect(coordinator.gets.filter((path) => path.includes('checkpoints'))).toHaveLength(3);
  });

  it('does not carry its token to another address', async () => {
    const stranger = await FakeCoordinator.start();
    const { checkpoint } = coordinator.assignment('a1');
    const path = `${stranger.url}/v1/runs/r/checkpoints/3`;
    coordinator.open = [coordinator.assignment('a1', { checkpoint: { ...checkpoint, path } })];
    void start({ train: nowTrain });
    expect((await log.nth('declined')).error.message).toContain('leads away');
    expect(stranger.gets).toEqual([]);
    await stranger.close();
  });
});

describe('when a round closes', () => {
  it('aborts the training of that assignment, and neither uploads nor declines', async () => {
    const { train, requests } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train });
    await until(() => requests.length === 1);
    coordinator.emit('closed', { assignmentId: 'a1', reason: 'deadline' });
    expect((await log.nth('closed')).reason).toBe('deadline');
    expect(requests[0].signal.reason).toMatchObject({ name: 'AbortError', message: 'deadline' });
    coordinator.emit('assignment', coordinator.assignment('a2', { round: 5 }));
    await until(() => requests.length === 2);
    expect(requests[1].signal.aborted).toBe(false);
    expect(coordinator.declines).toEqual([]);
    expect(coordinator.arrivals).toEqual([]);
  });

  it('lets a function that ignores its signal finish before the next begins', async () => {
    const calls: string[] = [];
    let finish: (result: TrainResult) => void = () => undefined;
    coordinator.open = [coordinator.assignment('a1')];
    void start({
      train: (request) => {
        calls.push(request.signal.aborted ? 'aborted' : `round ${request.round}`);
        if (calls.length > 1) return nowTrain(request);
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
    });
    await until(() => calls.length === 1);
    coordinator.emit('closed', { assignmentId: 'a1', reason: 'deadline' });
    coordinator.emit('assignment', coordinator.assignment('a2', { round: 5 }));
    await log.nth('assigned', 2);
    await until(() => coordinator.gets.length > 0);
    expect(calls).toEqual(['round 4']);
    finish({ params: {}, numExamples: 1 });
    expect((await log.nth('receipt')).work.id).toBe('a2');
    expect(calls).toEqual(['round 4', 'round 5']);
    expect(coordinator.declines).toEqual([]);
  });

  it('aborts what was closed while the connection was lost', async () => {
    const { train, requests } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train });
    await until(() => requests.length === 1);
    coordinator.open = [];
    coordinator.cutAll();
    await log.nth('connected', 2);
    expect(requests[0].signal.aborted).toBe(true);
    expect(log.of('closed')).toHaveLength(1);
  });

  it('still takes the receipt of an upload that is under way', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined];
    void start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    coordinator.emit('closed', { assignmentId: 'a1', reason: 'quorum reached' });
    await log.nth('closed');
    accept(coordinator.arrivals[0]);
    expect((await log.nth('receipt')).receipt.status).toBe('accepted');
  });

  it('does not repeat an upload for it', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined];
    const summary = start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    coordinator.emit('closed', { assignmentId: 'a1', reason: 'deadline' });
    await log.nth('closed');
    coordinator.arrivals[0].cut();
    finishRun();
    expect(await summary).toMatchObject({ status: 'completed', rounds: [], receipts: [] });
    expect(coordinator.arrivals).toHaveLength(1);
    expect(log.of('retry')).toEqual([]);
  });
});

describe('uploading', () => {
  it('sends the same bytes again when the connection dies under them, without training again', async () => {
    const { train, requests, release } = heldTraining();
    release();
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [(arrival) => arrival.cut(), (arrival) => arrival.cut(), accept];
    void start({ train });
    await log.nth('receipt');
    const { arrivals } = coordinator;
    expect(arrivals).toHaveLength(3);
    expect(arrivals[1].body).toEqual(arrivals[0].body);
    expect(arrivals[2].body).toEqual(arrivals[0].body);
    expect(requests).toHaveLength(1);
    expect(log.of('retry').map(({ delayMs }) => delayMs)).toEqual([187.5, 375]);
  });

  it('asks again for a receipt that was lost with the connection', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [
      (arrival) => {
        // Taken, so listed no more; but neither the receipt nor the socket survives.
        coordinator.open = [];
        arrival.cut();
        coordinator.cutAll();
      },
      (arrival) => {
        arrival.response.json({ receipt: receiptFor(arrival, { duplicate: true }) });
      },
    ];
    const summary = start({ train: nowTrain });
    expect((await log.nth('receipt')).receipt.duplicate).toBe(true);
    await log.nth('connected', 2);
    finishRun();
    expect(await summary).toMatchObject({ rounds: [4], receipts: [{ duplicate: true }] });
    expect(log.of('closed')).toEqual([]);
  });

  it('does not start an assignment again that is being trained when the connection returns', async () => {
    const { train, requests, release } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train });
    await until(() => requests.length === 1);
    coordinator.cutAll();
    await log.nth('connected', 2);
    expect(requests[0].signal.aborted).toBe(false);
    release();
    await log.nth('receipt');
    expect(requests).toHaveLength(1);
    expect(coordinator.arrivals).toHaveLength(1);
  });

  it.each<[ErrorCode, 'late' | 'rejected']>([
    ['late', 'late'],
    ['not_finite', 'rejected'],
  ])('takes the receipt of a refusal with %s as the answer', async (code, status) => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [refuse(code, status)];
    const summary = start({ train: nowTrain });
    expect((await log.nth('receipt')).receipt).toMatchObject({ status, error: { code } });
    finishRun();
    expect(await summary).toMatchObject({ rounds: [], receipts: [{ status }] });
    expect(coordinator.arrivals).toHaveLength(1);
    expect(coordinator.declines).toEqual([]);
  });

  it('ends an assignment for which another update was taken', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [refuse('assignment_used')];
    void start({ train: nowTrain });
    expect((await log.nth('problem')).error).toMatchObject({ code: 'assignment_used' });
    coordinator.cutAll();
    await log.nth('connected', 2);
    expect(coordinator.arrivals).toHaveLength(1);
    expect(coordinator.declines).toEqual([]);
  });

  it('declines where the coordinator would refuse the upload every time', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [refuse('too_large')];
    void start({ train: nowTrain });
    await until(() => coordinator.declines.length === 1);
    expect(coordinator.declines[0].reason).toBe('refused: too_large');
  });

  it('waits as long as the coordinator asks for before it sends again', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [
      (arrival) => {
        arrival.response.set('retry-after', '7');
        refuse('rate_limited')(arrival);
      },
      // A proxy's own page, while the coordinator restarts.
      (arrival) => arrival.response.status(502).send('<h1>Bad gateway</h1>'),
      accept,
    ];
    void start({ train: nowTrain });
    await log.nth('receipt');
    expect(log.of('retry').map(({ delayMs }) => delayMs)).toEqual([7000, 375]);
  });

  it('gives up a connection on which nothing moves, and sends again', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined, accept];
    void start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    clock.advance(31_000);
    await log.nth('receipt');
    expect(log.of('retry')[0].error.message).toContain('nothing moved for 30 s');
  });
});

describe('connecting', () => {
  it.each<ErrorCode>(['unauthorized', 'forbidden'])(
    'ends with %s where the socket is refused',
    async (code) => {
      coordinator.onConnect = () => code;
      await expect(start()).rejects.toMatchObject({ name: 'TributaryError', code });
    },
  );

  it.each<ErrorCode>(['protocol_version', 'run_over'])(
    'ends with %s where hello is refused',
    async (code) => {
      coordinator.onHello = () => code;
      await expect(start()).rejects.toMatchObject({ name: 'TributaryError', code });
      await until(() => coordinator.connections === 0);
    },
  );

  it('ends with unauthorized where the token is taken back during an upload', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [refuse('unauthorized')];
    await expect(start({ train: nowTrain })).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('comes back to a coordinator that is shutting down, and waits longer each time', async () => {
    let refusals = 0;
    coordinator.onConnect = () => (++refusals <= 6 ? 'shutting_down' : undefined);
    void start();
    await log.nth('connected');
    expect(log.of('disconnected').map(({ delayMs }) => delayMs)).toEqual([
      187.5, 375, 750, 1500, 3000, 3750,
    ]);
  });

  it('waits longer where it is thrown out again at once, and starts afresh after a stable time', async () => {
    void start();
    for (const n of [1, 2, 3]) {
      await log.nth('connected', n);
      coordinator.cutAll();
    }
    await log.nth('connected', 4);
    clock.advance(10_000);
    coordinator.cutAll();
    await log.nth('connected', 5);
    expect(log.of('disconnected').map(({ delayMs }) => delayMs)).toEqual([187.5, 375, 750, 187.5]);
  });

  it('connects again to a coordinator that does not answer hello', async () => {
    let silent = true;
    const welcome = coordinator.onHello;
    coordinator.onHello = () => {
      if (!silent) return welcome as never;
      throw new Error('never reached');
    };
    coordinator.onHello = (socket) => {
      if (silent) socket.disconnect(true);
      silent = false;
      return undefined;
    };
    void start();
    await log.nth('connected');
    expect(log.of('disconnected')).toHaveLength(1);
  });

  it('ends at once where the run was over before', async () => {
    coordinator.status = 'failed';
    expect(await start()).toMatchObject({ status: 'failed', clientId: 'anna' });
  });

  it.each([
    ['url', { url: 'localhost:3000' }],
    ['url', { url: 'http://anna:secret@localhost' }],
    ['token', { token: 'two\nlines' }],
    ['token', { token: '' }],
    ['options: oracleBatches', { oracle: { batches: 1.5, open: () => expect.unreachable() } }],
  ])('refuses a %s that cannot work', async (what, options) => {
    const refused = start(options);
    await expect(refused).rejects.toMatchObject({ code: 'bad_request' });
    await expect(refused).rejects.toThrow(new RegExp(`^${what}`));
  });
});

describe('leaving', () => {
  it('aborts local work, disconnects, and says what was done', async () => {
    const { train, requests } = heldTraining();
    coordinator.open = [coordinator.assignment('a1')];
    const summary = start({ train });
    await until(() => requests.length === 1);
    leave.abort();
    expect(await summary).toMatchObject({ status: 'left', clientId: 'anna', rounds: [] });
    expect(requests[0].signal.aborted).toBe(true);
    await until(() => coordinator.connections === 0);
    expect(coordinator.declines).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('does not connect where the caller has left before', async () => {
    leave.abort();
    expect(await start()).toMatchObject({ status: 'left', runId: null, role: null });
    expect(coordinator.hellos).toEqual([]);
  });

  it('waits for the receipt of an update that is on its way', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined];
    const summary = start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    finishRun();
    await log.nth('run');
    accept(coordinator.arrivals[0]);
    expect(await summary).toMatchObject({ status: 'completed', rounds: [4] });
  });

  it('does not wait for ever for a function that ignores its signal', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    let called = false;
    const summary = start({
      train: () => {
        called = true;
        return new Promise(() => undefined);
      },
    });
    await until(() => called);
    leave.abort();
    await until(() => clock.pending > 0);
    // Twice, since the first may come before the wait has begun.
    for (let settled = false; !settled;) {
      clock.advance(5_000);
      settled = await Promise.race([
        summary.then(() => true),
        new Promise<boolean>((resolve) => setImmediate(() => resolve(false))),
      ]);
    }
    expect((await summary).status).toBe('left');
  });
});
