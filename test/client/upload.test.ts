/** What becomes of an update when its round closes, or the network fails under it. */
import { describe, expect, it } from 'vitest';
import type { TrainResult } from '../../client/types.js';
import type { ErrorCode } from '../../protocol/errors.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { accept, duplicate, refuse, sha256, task } from './support/fake-coordinator.js';
import {
  coordinator,
  clock,
  leave,
  log,
  useHarness,
  start,
  finishRun,
  nowTrain,
  heldTraining,
  until,
} from './support/harness.js';

useHarness();

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
    expect(log.of('retry').map(({ delayMs }) => delayMs)).toEqual([187.5, 281.25]);
  });

  it('sends a large update again from its beginning when it was cut in the middle', async () => {
    const size = 1_000_000;
    const file = encodeSafetensors({ w: { shape: [size], data: new Float32Array(size) } });
    const path = '/v1/runs/r/checkpoints/9';
    const model = {
      ...task.model,
      tensors: [{ ...task.model.tensors[0], name: 'w', shape: [size] }],
    };
    coordinator.task = { ...task, model };
    coordinator.files.set(path, file);
    coordinator.cutAfter.push(1_000_000, 3_000_000);
    const checkpoint = { path, sha256: sha256(file), bytes: file.byteLength };
    coordinator.open = [coordinator.assignment('a1', { checkpoint })];
    const summary = start({ train: nowTrain });
    await log.nth('receipt');
    const [{ body, sha256: stated }] = coordinator.arrivals;
    expect(stated).toBe(sha256(body));
    expect(decodeSafetensors(body).tensors['delta/w'].data).toHaveLength(size);
    expect(log.of('retry')).toHaveLength(2);
    finishRun();
    expect((await summary).bytesUp).toBe(3 * body.byteLength);
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
      // On its way when the new welcome says nothing of the assignment, and lost after that.
      () => undefined,
      duplicate,
    ];
    const summary = start({ train: nowTrain });
    await log.nth('connected', 2);
    await until(() => coordinator.arrivals.length === 2);
    coordinator.arrivals[1].cut();
    expect((await log.nth('receipt')).receipt.duplicate).toBe(true);
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

  it('asks once for a receipt that was lost when the run ended meanwhile', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined, duplicate];
    const summary = start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    const [arrival] = coordinator.arrivals;
    coordinator.tellsWeight('a1', { weight: 0.5, sha256: sha256(arrival.body) });
    finishRun();
    await log.nth('run');
    arrival.cut();
    expect(await summary).toMatchObject({ rounds: [4], receipts: [{ duplicate: true }] });
    expect(coordinator.arrivals).toHaveLength(2);
    expect(coordinator.arrivals[1].body).toEqual(arrival.body);
  });

  it('does not ask for it where the caller leaves', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [() => undefined];
    const summary = start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    leave.abort();
    coordinator.arrivals[0].cut();
    expect(await summary).toMatchObject({ status: 'left', receipts: [] });
    expect(coordinator.gets.filter((path) => path.endsWith('weight'))).toEqual([]);
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

  it('waits as long as the coordinator asks for and a little more before it sends again', async () => {
    coordinator.open = [coordinator.assignment('a1')];
    coordinator.answers = [
      (arrival) => {
        arrival.response.set('retry-after', '7');
        refuse('rate_limited')(arrival);
      },
      // To the millisecond, where it says so itself.
      refuse('storage_full', undefined, 4_000),
      // A proxy's own page, while the coordinator restarts.
      (arrival) => arrival.response.status(502).send('<h1>Bad gateway</h1>'),
      accept,
    ];
    void start({ train: nowTrain });
    await log.nth('receipt');
    expect(log.of('retry').map(({ delayMs }) => delayMs)).toEqual([7875, 4500, 421.875]);
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
