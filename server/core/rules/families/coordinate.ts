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
import { inClientOrder } from './order.js';
import type { Ranked } from './ranking.js';
import { ranking } from './ranking.js';
import { segments, tileReader } from './tile-reader.js';

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
  /** The ranks whose mean is taken. `ranked` is overwritten by the next coordinate: don't keep it. */
  statistic(ranked: Ranked, options: O): RankWindow;
  /** Whether the mean over the window counts clients by their weight; plain if nothing is said. */
  readonly weightedMean?: boolean;
}

/** Makes a rule of the ranks that it picks. Weight given: the share of coordinates taken from a client. */
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
      return outcomeOf(definition, inClientOrder(acc, name, fewest(ctx.options)), ctx);
    },
  };
}

async function outcomeOf<O>(
  definition: CoordinateDefinition<O>,
  updates: readonly UpdateReader[],
  { options, layout, state }: RuleContext<O>,
): Promise<Outcome> {
  const rank = ranking(updates.map((facts) => definition.weigh?.(facts, options) ?? 1));
  const delta = new Float64Array(layout.size);
  const taken = new Float64Array(updates.length);
  const read = tileReader(updates, 0);
  const rows = updates.map((_, update) => ({ update, vector: DELTA }));
  for (const segment of segments(layout, rows.length)) {
    const tiles = await read(rows, segment);
    for (let e = 0; e < segment.length; e++) {
      const ranked = rank(tiles, e);
      const window = checked(definition, ranked, options);
      delta[segment.start + e] = windowMean(
        ranked,
        window,
        definition.weightedMean ?? false,
        taken,
      );
    }
  }
  const weights = updates.map(({ clientId }, i) => [clientId, taken[i] / Math.max(1, layout.size)]);
  return {
    delta,
    state,
    weights: Object.fromEntries(weights) as Record<string, number>,
    diagnostics: {},
  };
}

function checked<O>(definition: CoordinateDefinition<O>, ranked: Ranked, options: O): RankWindow {
  const window = definition.statistic(ranked, options);
  const { from, to } = window;
  const isWindow = Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from < to;
  if (isWindow && to <= ranked.values.length) return window;
  const message = `the rule "${definition.name}" took the ranks ${from} to ${to} of ${ranked.values.length}`;
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
