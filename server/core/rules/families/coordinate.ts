/**
 * Coordinate rules: an order statistic for each coordinate on its own. Robust against a minority
 * that sends anything, blind to how coordinates belong together.
 */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import type {
  AggregationRule,
  Outcome,
  RuleContext,
  RuleDescription,
  UpdateFacts,
  UpdateReader,
} from '../rule.js';
import type { Kernels, RankWindow, Rows } from '../../kernels/kernels.js';
import type { Ranked } from '../../kernels/ranking.js';
import { ranking } from '../../kernels/ranking.js';
import { gathering, inClientOrder } from './order.js';
import { eachSegment, segments, tileReader } from './tile-reader.js';

export interface CoordinateDefinition<O> extends RuleDescription<O> {
  /** Fewest updates; 1 if nothing is said. */
  minUpdates?(options: O): number;
  /** Weight of a client; 1 if nothing is said. */
  weigh?(facts: UpdateFacts, options: O): number;
  /**
   * The ranks whose plain mean is taken, where they depend on the number of updates alone: ten times
   * as fast. It must agree with `statistic`; null to look at every coordinate.
   */
  window?(count: number, options: O): RankWindow | null;
  /** The ranks whose mean is taken. `ranked` is overwritten by the next coordinate: don't keep it. */
  statistic(ranked: Ranked, options: O): RankWindow;
  /** Whether the mean over the window counts clients by their weight; plain if nothing is said. */
  readonly weightedMean?: boolean;
}

/** Makes a rule of the ranks that it picks. Weight given: the share of coordinates taken from a client. */
export function coordinateRule<O>(
  definition: CoordinateDefinition<O>,
): AggregationRule<O, UpdateReader[]> {
  const { name, summary = '', paper, options } = definition;
  const fewest = (o: O): number => definition.minUpdates?.(o) ?? 1;
  return {
    name,
    summary,
    paper,
    options,
    family: 'coordinate',
    needs: {},
    minUpdates: fewest,
    ...gathering,
    async finish(acc, ctx) {
      return outcomeOf(definition, inClientOrder(acc, name, fewest(ctx.options)), ctx);
    },
  };
}

async function outcomeOf<O>(
  definition: CoordinateDefinition<O>,
  updates: readonly UpdateReader[],
  { options, layout, state, kernels }: RuleContext<O>,
): Promise<Outcome> {
  const delta = new Float64Array(layout.size);
  const taken = new Float64Array(updates.length);
  const rows = updates.map((_, update) => ({ update, vector: DELTA }));
  const parts = {
    read: tileReader(updates, 0),
    segments: segments(layout, rows.length),
    kernels,
  };
  const take = taker(definition, updates, options, kernels);
  await eachSegment(rows, parts, (tiles, { start }) => take(delta, start, tiles, taken));
  const weights = updates.map(({ clientId }, i) => [clientId, taken[i] / Math.max(1, layout.size)]);
  return {
    delta,
    state,
    weights: Object.fromEntries(weights) as Record<string, number>,
    diagnostics: {},
  };
}

/** Writes the statistic of a tile, and adds each client's share of its coordinates to `taken`. */
type Take = (out: Float64Array, offset: number, tiles: Rows, taken: Float64Array) => void;

function taker<O>(
  definition: CoordinateDefinition<O>,
  updates: readonly UpdateReader[],
  options: O,
  kernels: Kernels,
): Take {
  const K = updates.length;
  const window = definition.window?.(K, options);
  if (window) return takeWindow(checked(definition, window, K), kernels);
  const rank = ranking(updates.map((facts) => definition.weigh?.(facts, options) ?? 1));
  return (out, offset, tiles, taken) => {
    for (let e = 0; e < tiles[0].length; e++) {
      const ranked = rank(tiles, e);
      const found = checked(definition, definition.statistic(ranked, options), K);
      out[offset + e] = windowMean(ranked, found, definition.weightedMean ?? false, taken);
    }
  };
}

function takeWindow(window: RankWindow, kernels: Kernels): Take {
  return (out, offset, tiles, taken) => {
    const counts = new Float64Array(taken.length);
    kernels.rankMean(out, offset, tiles, window, counts);
    counts.forEach((count, i) => (taken[i] += count / (window.to - window.from)));
  };
}

function checked<O>(
  { name }: CoordinateDefinition<O>,
  window: RankWindow,
  count: number,
): RankWindow {
  const { from, to } = window;
  const isWindow = Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from < to;
  if (isWindow && to <= count) return window;
  const message = `the rule "${name}" took the ranks ${from} to ${to} of ${count}`;
  throw new TributaryError('internal', message);
}

/** The mean over a window, and each client's share in it added to `taken`. */
function windowMean(
  { values, weights, clients }: Ranked,
  { from, to }: RankWindow,
  weighted: boolean,
  taken: Float64Array,
): number {
  let [sum, total] = [0, 0];
  for (let rank = from; rank < to; rank++) {
    const weight = weighted ? weights[rank] : 1;
    sum += weight * values[rank];
    total += weight;
  }
  for (let rank = from; rank < to; rank++) {
    taken[clients[rank]] += (weighted ? weights[rank] : 1) / total;
  }
  return sum / total;
}
