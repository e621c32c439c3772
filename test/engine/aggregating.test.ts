/** A round that is being aggregated when its run, or its coordinator, is stopped. */
import { expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import type { Aggregator } from '../../server/engine/aggregator.js';
import { World } from './support/world.js';

interface Held extends Aggregator {
  readonly begun: () => number;
}

/** Never done; fails where it is told to end, as a worker thread does. */
function held(): Held {
  let begun = 0;
  let end: (error: Error) => void = () => undefined;
  return {
    begun: () => begun,
    aggregate: (_, signal) =>
      new Promise((_resolve, reject) => {
        begun++;
        end = reject;
        signal?.addEventListener('abort', () => end(new Error('its thread was ended')));
      }),
    close: () => {
      end(new TributaryError('storage_unavailable', 'the coordinator is stopping'));
      return Promise.resolve();
    },
  };
}

it('ends with its run, without a complaint', async () => {
  const world = await World.create({ aggregator: held() });
  const { engine, complaints } = await world.open();
  await world.settle();
  expect(engine.now(world.run.id)).toBe('round 1: aggregate');
  await engine.stopRun(world.run.id, 'enough');
  await world.settle();
  expect(engine.now(world.run.id)).toBe('stopped');
  expect(await world.phases()).toEqual(['1.1 abandoned']);
  expect(await world.ledger()).not.toContain('round-abandoned');
  expect(complaints).toEqual([]);
  expect(await world.leftovers()).toEqual([]);
});

it('is left to the next start where the coordinator stops, without a complaint', async () => {
  const aggregator = held();
  const world = await World.create({ aggregator });
  const life = await world.open();
  await world.settle();
  await Promise.all([life.engine.close(), aggregator.close()]);
  expect(life.complaints).toEqual([]);
  expect(await world.phases()).toEqual(['1.1 aggregating']);
  await world.open();
  await world.settle();
  expect(aggregator.begun()).toBe(2);
});

it('costs an attempt where it took too long', async () => {
  const tooLong = new TributaryError('internal', 'it took more than 5 ms');
  const aggregator = { aggregate: () => Promise.reject(tooLong), close: () => Promise.resolve() };
  const world = await World.create({ aggregator, spec: { retries: 1 } });
  await world.open();
  await world.play();
  expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 abandoned']);
  expect(await world.store.run(world.run.id)).toMatchObject({
    status: 'failed',
    reason: 'round 1: aggregation failed: it took more than 5 ms',
  });
});
