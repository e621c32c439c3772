/** One client and one coordinator that the test plays, afresh for each test, in virtual time. */
import { afterEach, beforeEach } from 'vitest';
import type { ClientEvent, JoinSummary } from '../../../client/events.js';
import type { JoinOptions } from '../../../client/join.js';
import { join } from '../../../client/join.js';
import type { TrainFunction, TrainRequest, TrainResult } from '../../../client/types.js';
import { EventLog } from './event-log.js';
import { FakeCoordinator, TOKEN } from './fake-coordinator.js';
import { VirtualClock, virtualEnvironment } from './virtual-clock.js';

export let coordinator: FakeCoordinator;
export let clock: VirtualClock;
export let log: EventLog;
/** Makes the client that `start` started leave. */
export let leave: AbortController;
let running: Promise<JoinSummary>[];

export function useHarness(): void {
  beforeEach(async () => {
    coordinator = await FakeCoordinator.start();
    clock = new VirtualClock();
    log = new EventLog();
    leave = new AbortController();
    running = [];
  });
  afterEach(async () => {
    leave.abort();
    await Promise.allSettled(running);
    await coordinator.close();
  });
}

/** Joins; every back-off passes in no time. */
export function start(options: Partial<JoinOptions> = {}): Promise<JoinSummary> {
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

export function finishRun(): void {
  coordinator.emit('run', { status: 'completed', round: 4, rounds: 4, version: 4 });
}

/** Adds 1 to the first value of each tensor. */
export function trained({ model }: Pick<TrainRequest, 'model'>): TrainResult {
  const entries = Object.entries(model).map(([name, data]) => {
    const values = data.slice();
    values[0] += 1;
    return [name, values] as const;
  });
  return { params: Object.fromEntries(entries), numExamples: 10 };
}

export const nowTrain: TrainFunction = (request) => Promise.resolve(trained(request));

/** Trains until the test releases it or the round closes, and shows what it was asked. */
export function heldTraining() {
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

/** Resolves when the condition holds; looked at whenever the event loop has gone round. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
