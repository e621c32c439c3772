import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EarlyStop } from '../../protocol/run.js';
import { earlyStop } from '../../protocol/run.js';
import type { Measured } from '../../server/core/early-stop.js';
import { earlyStopReason } from '../../server/core/early-stop.js';

function rule(more: Partial<EarlyStop> = {}): EarlyStop {
  return earlyStop.parse({ metric: 'loss', patience: 3, ...more });
}

function evaluations(values: readonly number[], metric = 'loss'): Measured[] {
  return values.map((value, i) => ({ version: i + 1, pooled: { other: 7, [metric]: value } }));
}

/** After how many evaluations a run ends; null where it never does. */
function endsAfter(values: readonly number[], asked: EarlyStop): number | null {
  const all = evaluations(values, asked.metric);
  const ends = all.findIndex((_, i) => earlyStopReason(all.slice(0, i + 1), asked) !== null);
  return ends < 0 ? null : ends + 1;
}

describe('an early stop', () => {
  it.each<[string, number[], Partial<EarlyStop>, number | null]>([
    ['a loss that falls', [9, 8, 7, 6, 5, 4], {}, null],
    ['a loss that stands still', [9, 9, 9, 9], {}, 4],
    ['a loss that was better once', [9, 3, 4, 5, 6], {}, 5],
    ['a new best in time', [9, 3, 4, 5, 2, 3, 3], {}, null],
    ['an accuracy that rises', [0.1, 0.2, 0.3, 0.4], { metric: 'accuracy' }, null],
    ['an accuracy that falls', [0.4, 0.3, 0.2, 0.1], { metric: 'accuracy' }, 4],
    ['another metric that is to fall', [4, 3, 2, 1], { metric: 'rmse', mode: 'min' }, null],
    ['steps too small to count', [1, 0.9, 0.8, 0.7], { minDelta: 0.5 }, 4],
    ['steps that add up to enough', [1, 0.8, 0.6, 0.4, 0.3, 0.2], { minDelta: 0.5 }, null],
    ['a step of exactly the least', [4, 3.5, 3.5, 3.5], { minDelta: 0.5 }, 4],
    ['a patience of one', [3, 2, 2], { patience: 1 }, 3],
    ['a loss that became NaN', [3, NaN, NaN, NaN], {}, 4],
    ['a loss that was never a number', [NaN, NaN, NaN, NaN], {}, 4],
    ['a number after NaN', [NaN, NaN, 3, NaN, 2], {}, null],
    ['infinity is no better than itself', [Infinity, Infinity, Infinity, Infinity], {}, 4],
    ['a number is better than infinity', [Infinity, 5, 4, 3], {}, null],
  ])('%s: %j', (_, values, more, expected) => {
    expect(endsAfter(values, rule(more))).toBe(expected);
  });

  it('says what did not improve, by how much, since when and what was best', () => {
    const values = [0.5, 0.31000000000000005, 0.4, 0.35, 0.33];
    expect(earlyStopReason(evaluations(values), rule({ minDelta: 0.01 }))).toBe(
      'early stop: loss has not improved by more than 0.01 for 3 evaluations; best 0.31 at version 2',
    );
  });

  it('passes over evaluations without the metric, and never ends where none has it', () => {
    const some: Measured[] = evaluations([3, 4, 4, 4]).map((each) =>
      each.version === 3 ? { version: 3, pooled: {} } : each,
    );
    expect(earlyStopReason(some, rule())).toBeNull();
    expect(earlyStopReason([...some, { version: 5, pooled: { loss: 5 } }], rule())).not.toBeNull();
    expect(earlyStopReason(evaluations([3, 3, 3, 3, 3]), rule({ metric: 'rmse' }))).toBeNull();
    expect(earlyStopReason(evaluations([1, 1, 1, 1, 1]), rule({ metric: 'toString' }))).toBeNull();
    expect(earlyStopReason([], rule())).toBeNull();
  });

  const values = fc.array(fc.oneof(fc.double({ min: -9, max: 9 }), fc.constant(NaN)), {
    maxLength: 30,
  });
  const asked = fc.record({
    patience: fc.integer({ min: 1, max: 6 }),
    minDelta: fc.constantFrom(0, 0.5, 3),
  });

  it('waits for its patience, and is the same for a metric turned round', () => {
    fc.assert(
      fc.property(values, asked, (given, more) => {
        const ends = endsAfter(given, rule({ ...more, mode: 'min' }));
        if (ends !== null) expect(ends).toBeGreaterThan(more.patience);
        const turned = given.map((value) => -value);
        expect(endsAfter(turned, rule({ ...more, mode: 'max' }))).toBe(ends);
      }),
      { seed: 14, numRuns: 500 },
    );
  });

  it('never ends a run in the evaluation that is its best', () => {
    fc.assert(
      fc.property(values, asked, (given, more) => {
        const best = Math.min(...given.slice(0, -1).filter((value) => !Number.isNaN(value)));
        const last = given.at(-1);
        if (last === undefined || !(best - last > more.minDelta)) return;
        expect(earlyStopReason(evaluations(given), rule(more))).toBeNull();
      }),
      { seed: 15, numRuns: 1000 },
    );
  });
});
