/**
 * Linear rules: a coefficient for each update from that update's own facts and from what was known
 * when the round began. They stream, merge across replicas, and work under secure aggregation,
 * because the sum is an exact fold.
 */
import { TributaryError } from '../../../../protocol/errors.js';
import { finishFold, finishSum, weightSum } from '../../kernels/fold.js';
import type {
  AggregationRule,
  Needs,
  Outcome,
  RuleContext,
  RuleDescription,
  RuleState,
  Tensors,
  UpdateFacts,
} from '../rule.js';
import type { LinearEntry, LinearSum, WeighedInFull } from './linear-sum.js';
import { checkWeighed, emptySum, foldUpdate } from './linear-sum.js';
import { inClientOrder } from './order.js';
import type { AuxiliaryName, NoNeeds } from './vectors.js';

/** What is known before a round's updates are: all that a weight may depend on. */
export type WeighContext<O> = Pick<RuleContext<O>, 'options' | 'state'>;
export type LinearContext<O> = WeighContext<O> & Pick<RuleContext<O>, 'round' | 'numClients'>;

/** `{}` would take any name, hence the case of its own for a rule that declares none. */
type AuxiliaryWeights<Aux extends string> = [Aux] extends [never]
  ? Readonly<Record<string, never>>
  : Readonly<Partial<Record<Aux, number>>>;

/**
 * The weight of an update, not negative; with it, numbers to be summed over the cohort, and
 * weights for its auxiliary vectors, none greater than `weightMax` in size.
 */
export type Weighed<Aux extends string = never> =
  | number
  | {
      readonly weight: number;
      readonly scalars?: Readonly<Record<string, number>>;
      readonly aux?: AuxiliaryWeights<Aux>;
    };

/** Sums over the updates of a round. */
export interface LinearSums {
  readonly weight: number;
  readonly count: number;
  /** Of the scalars that `weigh` gave, taken in client-id order. */
  readonly scalars: Readonly<Record<string, number>>;
}

export interface LinearDefinition<O, N extends Needs> extends RuleDescription<O> {
  readonly needs?: N;
  /** Fewest updates; 1 if nothing is said. */
  minUpdates?(options: O): number;
  /** Greatest weight that `weigh` may give: it fixes the scale of the exact fold. */
  weightMax(options: O): number;
  weigh(facts: UpdateFacts, ctx: WeighContext<O>): Weighed<AuxiliaryName<N>>;
  /** The factor on sum(weight * delta). By default the mean: 1 / sum(weight). */
  scale?(sums: LinearSums, ctx: LinearContext<O>): number;
  /** The state for the next round. `auxSums`: sum(weight * vector), by the name of the vector. */
  advance?(
    state: RuleState,
    facts: readonly UpdateFacts[],
    auxSums: Readonly<Partial<Record<AuxiliaryName<N>, Float64Array>>>,
    ctx: LinearContext<O>,
  ): RuleState;
  /** Sent down with the checkpoint. */
  broadcast?(state: RuleState): Tensors;
}

/**
 * Makes a rule of the weights that it gives. Aggregating throws TributaryError `bad_facts` for a
 * weight that is negative or not finite, and `over_cap` for one over the run's cap.
 */
export function linearRule<O, const N extends Needs = NoNeeds>(
  definition: LinearDefinition<O, N>,
): AggregationRule<O, LinearSum> {
  const { name, paper, options, needs = {} } = definition;
  const fewest = (o: O): number => definition.minUpdates?.(o) ?? 1;
  const weigh = (facts: UpdateFacts, ctx: WeighContext<O>): WeighedInFull =>
    inFull(definition.weigh(facts, ctx));
  return {
    name,
    paper,
    options,
    family: 'linear',
    needs,
    minUpdates: fewest,
    weightMax: (o) => definition.weightMax(o),
    weightOf: (facts, o, state) => weigh(facts, { options: o, state }).weight,
    begin: ({ model }) => emptySum(model.length),
    async accumulate(acc, update, ctx) {
      const weighed = weigh(update, ctx);
      checkWeighed(name, update, weighed, ctx.fold);
      if (acc.entries.length >= ctx.fold.cohortMax) {
        const message = `a round folds at most ${ctx.fold.cohortMax} updates (caps.cohortMax)`;
        throw new TributaryError('over_cap', message);
      }
      await foldUpdate(acc, update, weighed, ctx);
    },
    // eslint-disable-next-line @typescript-eslint/require-await -- what it throws must reject
    async finish(acc, ctx) {
      const entries = inClientOrder(acc.entries, name, fewest(ctx.options));
      return outcomeOf(definition, acc, entries, ctx);
    },
    ...(definition.broadcast && { broadcast: (state) => definition.broadcast!(state) }),
  };
}

function inFull(weighed: Weighed<string>): WeighedInFull {
  if (typeof weighed === 'number') return { weight: weighed, scalars: {}, aux: {} };
  const { weight, scalars = {}, aux = {} } = weighed;
  return { weight, scalars, aux: aux as Readonly<Record<string, number>> };
}

function outcomeOf<O, N extends Needs>(
  definition: LinearDefinition<O, N>,
  acc: LinearSum,
  entries: readonly LinearEntry[],
  ctx: RuleContext<O>,
): Outcome {
  const { options, round, numClients, state, fold } = ctx;
  const sums: LinearSums = {
    weight: weightSum(acc.sum, fold),
    count: acc.sum.count,
    scalars: sumOfScalars(entries),
  };
  const factor = definition.scale?.(sums, { options, round, numClients, state });
  if (factor !== undefined && !Number.isFinite(factor)) {
    const message = `the rule "${definition.name}" scales the sum by ${factor}`;
    throw new TributaryError('not_finite', message);
  }
  const given = (weight: number): number => {
    if (factor !== undefined) return weight * factor;
    return sums.weight === 0 ? 0 : weight / sums.weight;
  };
  return {
    delta: factor === undefined ? finishFold(acc.sum, fold) : finishSum(acc.sum, fold, factor),
    state: advanced(definition, acc, entries, ctx),
    weights: Object.fromEntries(entries.map((e) => [e.clientId, given(e.weight)])),
    diagnostics: {},
  };
}

function sumOfScalars(entries: readonly LinearEntry[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { scalars } of entries) {
    for (const [name, value] of Object.entries(scalars)) sums[name] = (sums[name] ?? 0) + value;
  }
  return sums;
}

function advanced<O, N extends Needs>(
  definition: LinearDefinition<O, N>,
  acc: LinearSum,
  entries: readonly LinearEntry[],
  { options, round, numClients, state, fold }: RuleContext<O>,
): RuleState {
  if (!definition.advance) return state;
  const auxSums: Record<string, Float64Array> = {};
  for (const [vector, sum] of acc.aux) auxSums[vector] = finishSum(sum, fold, 1);
  const facts = entries.map((entry) => entry.facts);
  return definition.advance(
    state,
    facts,
    auxSums as Readonly<Partial<Record<AuxiliaryName<N>, Float64Array>>>,
    { options, round, numClients, state },
  );
}
