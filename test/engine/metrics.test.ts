/** Metrics that a rule needs: who does not report them is refused, and fails nobody's round. */
import { describe, expect, it } from 'vitest';
import type { Assignment } from '../../protocol/messages.js';
import { encode, goodUpdate, withFacts } from '../support/updates.js';
import { World } from './support/world.js';

const clients = { ada: 'source', Bo: 'source', cyd: 'source' } as const;
const times = { deadlineMs: 60_000, graceMs: 10_000, evaluateEvery: 0 };

/** An update of 4 examples that moves everything by `value` and reports these metrics. */
function updateOf(open: Assignment, value: number, metrics: object): Uint8Array {
  const metricsText = JSON.stringify(metrics);
  return encode(withFacts(goodUpdate(open, value, 4), { metrics: metricsText }));
}

const good = { lossBefore: 0.5, learningRate: 0.1, variance: 2 };

describe.each([
  ['term', 'lossBefore'],
  ['qfedavg', 'learningRate'],
  ['afl', 'lossBefore'],
  ['feasible', 'lossBefore'],
  ['inverse-variance', 'variance'],
])('a run of %s', (rule, metric) => {
  it(`refuses an update without "${metric}", and goes on with the others`, async () => {
    const quorum = { min: 2, share: 0.5, required: [] };
    const spec = { ...times, rounds: 1, rule: { name: rule }, quorum };
    const world = await World.create({ spec, clients });
    const players = ['ada', 'Bo', 'cyd'].map((name) => world.player(name));
    for (const player of players) player.manner = () => 'ignore';
    await world.open();

    const [ada, bo, cyd] = players;
    const without = Object.fromEntries(Object.entries(good).filter(([name]) => name !== metric));
    const refused = await ada.upload(ada.assigned[0], updateOf(ada.assigned[0], 0.5, without));
    expect(refused).toMatchObject({
      status: 'rejected',
      error: { code: 'bad_facts', message: expect.stringContaining(`"${metric}"`) as string },
    });
    for (const player of [bo, cyd]) {
      const bytes = updateOf(player.assigned[0], 0.5, good);
      expect(await player.upload(player.assigned[0], bytes)).toMatchObject({ status: 'accepted' });
    }
    await world.settle();
    const { phase } = (await world.store.currentRound(world.run.id))!;
    expect(phase).toBe('closed');
  });
});
