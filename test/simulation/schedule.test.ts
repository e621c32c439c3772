import { describe, expect, it } from 'vitest';
import type { ArrivalOrder } from '../../server/simulation/schedule.js';
import { Schedule } from '../../server/simulation/schedule.js';

/** Adds jobs that write down what happens when. */
function recorder(order?: ArrivalOrder) {
  const log: string[] = [];
  const schedule = new Schedule(order);
  let running = 0;
  const add = (clientId: string, round = 1, last = false): void =>
    schedule.add({
      clientId,
      round,
      last,
      compute: async () => {
        running++;
        log.push(`train ${clientId}${running > 1 ? ' beside another' : ''}`);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        return () => {
          log.push(`send ${clientId}`);
          return Promise.resolve();
        };
      },
    });
  return { log, schedule, add };
}

describe('a schedule', () => {
  it('computes one at a time and sends each result at once', async () => {
    const { log, schedule, add } = recorder();
    for (const name of ['a', 'b']) add(name);
    await schedule.idle();
    expect(log).toEqual(['train a', 'send a', 'train b', 'send b']);
  });

  it('sends a whole cohort in the order that it is given', async () => {
    const rounds: number[] = [];
    const { log, schedule, add } = recorder((names, round) => {
      rounds.push(round);
      return [...names].reverse();
    });
    for (const name of ['a', 'b', 'c']) add(name, 7);
    await schedule.idle();
    expect(log.slice(3)).toEqual(['send c', 'send b', 'send a']);
    expect(rounds).toEqual([7]);
  });

  it('loses no result that the order leaves out', async () => {
    const { log, schedule, add } = recorder(() => ['c', 'stranger', 'other']);
    for (const name of ['a', 'b', 'c']) add(name);
    await schedule.idle();
    expect(log.slice(3)).toEqual(['send c', 'send a', 'send b']);
  });

  it('computes what comes last after all others that wait', async () => {
    const { log, schedule, add } = recorder();
    add('a', 1, true);
    add('b');
    add('c', 1, true);
    add('d');
    await schedule.idle();
    expect(log.filter((line) => line.startsWith('train'))).toEqual([
      'train b',
      'train d',
      'train a',
      'train c',
    ]);
  });

  it('goes on with what is added later', async () => {
    const { log, schedule, add } = recorder((names) => names);
    add('a');
    await schedule.idle();
    add('b');
    await schedule.idle();
    expect(log).toEqual(['train a', 'send a', 'train b', 'send b']);
    await schedule.idle();
  });
});
