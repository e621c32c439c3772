/** The lease on an assignment, held by heartbeats while it is worked on. */
import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../protocol/errors.js';
import type { TrainFunction, TrainRequest } from '../../client/types.js';
import { accept } from './support/fake-coordinator.js';
import {
  clock,
  coordinator,
  finishRun,
  heldTraining,
  log,
  nowTrain,
  start,
  trained,
  until,
  useHarness,
} from './support/harness.js';

useHarness();

/** A client at work on one assignment. */
async function atWork(leaseMs?: number) {
  const held = heldTraining();
  coordinator.open = [coordinator.assignment('a1', { leaseMs })];
  const summary = start({ train: held.train });
  await until(() => held.requests.length === 1);
  return { ...held, summary };
}

async function beats(count: number): Promise<void> {
  await until(() => coordinator.heartbeats.length >= count);
}

/** Resolves when all has arrived that the client said: this goes the same way. */
async function heardAll(request: TrainRequest): Promise<void> {
  const before = coordinator.progresses.length;
  request.progress({ fraction: 0.5 });
  await until(() => coordinator.progresses.length > before);
}

describe('a client at work', () => {
  it('says so three times in a lease', async () => {
    const { requests } = await atWork(30_000);
    clock.advance(9_999);
    await heardAll(requests[0]);
    expect(coordinator.heartbeats).toEqual([]);
    for (const n of [1, 2, 3]) {
      clock.advance(10_000);
      await beats(n);
    }
    expect(coordinator.heartbeats).toEqual(['a1', 'a1', 'a1']);
  });

  it('says so every twenty seconds where the lease is long', async () => {
    const { requests } = await atWork(86_400_000);
    clock.advance(19_999);
    await heardAll(requests[0]);
    expect(coordinator.heartbeats).toEqual([]);
    clock.advance(1);
    await beats(1);
  });

  it('says nothing to a coordinator that knows no leases', async () => {
    const { summary } = await atWork(undefined);
    clock.advance(3_600_000);
    finishRun();
    await summary;
    expect(coordinator.heartbeats).toEqual([]);
  });

  it('goes on while its update is on its way, and ends with the receipt', async () => {
    coordinator.answers = [() => undefined];
    const { release, summary } = await atWork(30_000);
    release();
    await until(() => coordinator.arrivals.length === 1);
    clock.advance(10_000);
    await beats(1);
    accept(coordinator.arrivals[0]);
    await log.nth('receipt');
    clock.advance(3_600_000);
    finishRun();
    await summary;
    expect(coordinator.heartbeats).toEqual(['a1']);
    expect(clock.pending).toBe(0);
  });

  it('says so at once when it is back after a loss', async () => {
    const { requests } = await atWork(30_000);
    coordinator.cutAll();
    await log.nth('connected', 2);
    await beats(1);
    clock.advance(9_999);
    await heardAll(requests[0]);
    expect(coordinator.heartbeats).toHaveLength(1);
    clock.advance(1);
    await beats(2);
  });

  it.each<ErrorCode>(['assignment_unknown', 'late'])(
    'stops where it is answered with %s, and is ready for the next round',
    async (code) => {
      const { requests } = await atWork(30_000);
      coordinator.onHeartbeat = () => code;
      clock.advance(10_000);
      expect((await log.nth('closed')).reason).toBe(code);
      expect(requests[0].signal.aborted).toBe(true);
      clock.advance(60_000);
      coordinator.emit('assignment', coordinator.assignment('a2', { round: 5 }));
      await until(() => requests.length === 2);
      expect(coordinator.heartbeats).toEqual(['a1']);
      expect(coordinator.declines).toEqual([]);
    },
  );

  it('goes on where the coordinator could not take the heartbeat', async () => {
    const { requests, release } = await atWork(30_000);
    coordinator.onHeartbeat = () => 'rate_limited';
    clock.advance(10_000);
    await beats(1);
    clock.advance(10_000);
    await beats(2);
    expect(requests[0].signal.aborted).toBe(false);
    release();
    expect((await log.nth('receipt')).receipt.status).toBe('accepted');
  });

  it('lets its lease lapse while a training that hangs keeps the next one waiting', async () => {
    let rounds = 0;
    let wake: () => void = () => undefined;
    const train: TrainFunction = async (request) => {
      // Deaf to its signal.
      if (++rounds === 1) await new Promise<void>((resolve) => (wake = resolve));
      return trained(request);
    };
    void start({ train });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await until(() => rounds === 1);
    clock.advance(10_000);
    await beats(1);
    coordinator.emit('closed', { assignmentId: 'a1', reason: 'deadline' });
    await log.nth('closed');
    coordinator.emit('assignment', coordinator.assignment('a2', { round: 5 }));
    await log.nth('assigned', 2);
    clock.advance(300_000);
    wake();
    expect((await log.nth('receipt')).work.id).toBe('a2');
    expect(coordinator.heartbeats).toEqual(['a1']);
    coordinator.emit('assignment', coordinator.assignment('a3', { round: 6 }));
    await log.nth('receipt', 2);
  });

  it('waits for the answer to its upload, whatever heartbeats are told', async () => {
    coordinator.answers = [() => undefined];
    coordinator.onHeartbeat = () => 'assignment_unknown';
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train: nowTrain });
    await until(() => coordinator.arrivals.length === 1);
    clock.advance(10_000);
    await beats(1);
    accept(coordinator.arrivals[0]);
    await log.nth('receipt');
    expect(log.of('closed')).toEqual([]);
  });
});
