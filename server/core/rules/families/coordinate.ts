/**
 * Coordinate rules: an order statistic for each coordinate on its own. Robust against a minority
 * that sends anything, blind to how coordinates belong together.
 */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import type { AggregationRule, RuleDescription, UpdateFacts, UpdateReader } from '../rule.js';
import { inClientOrder } from './order.js';
import { segments, tileReader } from './tile-reader.js';

/** The values of one coordinate in ascending order, equal ones by client id; and whose they are. */
export interface Ranked {
  readonly values: Float64Array;
  /** Weight of the client that stands at each rank. */
  readonly weights: Float64Array;
}

/** Ranks from `from` up to, and without, `to`. */
export interface RankWindow {
  readonly from: number;
  readonly to: number;
}

export interface CoordinateDefinition<O> extends RuleDescription<O> {
  /** Fewest updates; 1 if nothing is said. */
  minUpdates?(options: O): number;
  /** Weight of a client; 1 if nothing is said. */
  weigh?(facts: UpdateFacts, options: O): number;
  /** The ranks whose mean is taken. `ranked` is used again for the next coordinate: don't keep it. */
  statistic(ranked: Ranked, options: O): RankWindow;
  /** Whether the mean over the window counts clients by their weight. */
  readonly weightedMean?: boolean;
}

/** Makes a rule of the ranks that it picks. */
export function coordinateRule<O>(
  definition: CoordinateDefinition<O>,
): AggregationRule<O, UpdateReader[]> {
  const { name, paper, options } = definition;
  const fewest = (o: O): number => definition.minUpdates?.(o) ?? 1;
  return {
    name,
    paper,
    options,
    family: 'coordinate',
    needs: {},
    minUpdates: fewest,
    begin: () => [],
    accumulate(acc, update) {
      acc.push(update);
      return Promise.resolve();
    },
    async finish(acc, ctx) {
      const updates = inClientOrder(acc, name, fewest(ctx.options));
      const ranker = rankerOf(definition, updates, ctx.options);
      const delta = new Float64Array(ctx.layout.size);
      const read = tileReader(updates, 0);
      const rows = updates.map((_, update) => ({ update, vector: DELTA }));
      for (const segment of segments(ctx.layout, updates.length)) {
        const tiles = await read(rows, segment);
        for (let e = 0; e < segment.length; e++) delta[segment.start + e] = ranker.at(tiles, e);
      }
      return { delta, state: ctx.state, weights: ranker.shares(delta.length), diagnostics: {} };
    },
  };
}
