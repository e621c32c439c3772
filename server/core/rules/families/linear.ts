/**
 * Linear rules: a coefficient for each update from that update's own facts and from what was known
 * when the round began. They stream, merge across replicas, and work under secure aggregation,
 * because the sum is an exact fold.
 */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import {
  emptyContribution,
  finishFold,
  finishSum,
  foldTile,
  weightSum,
  weightTerm,
} from '../../kernels/fold.js';
import type { Contribution } from '../../kernels/kernels.js';
import { tiles } from '../../layout.js';
import type {
  AggregationRule,
  Needs,
  Outcome,
  RuleContext,
  RuleDescription,
  RuleState,
  Tensors,
  UpdateFacts,
  UpdateReader,
} from '../rule.js';
import { inClientOrder } from './order.js';
import type { AuxiliaryName } from './vectors.js';

/** What is known before a round's updates are: all that a weight may depend on. */
export type WeighContext<O> = Pick<RuleContext<O>, 'options' | 'state'>;
export type LinearContext<O> = WeighContext<O> & Pick<RuleContext<O>, 'round' | 'numClients'>;

/**
 * The weight of an update, not negative; with it, numbers to be summed over the cohort, and
 * weights for its auxiliary vectors, at most `weightMax` in size.
 */
export type Weighed<Aux extends string = never> =
  | number
  | {
      readonly weight: number;
      readonly scalars?: Readonly<Record<string, number>>;
      readonly aux?: Readonly<Partial<Record<Aux, number>>>;
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
  /** The state for the next round. `auxSums`: sum(weight * vector) by the name of the vector. */
  advance?(
    state: RuleState,
    facts: readonly UpdateFacts[],
    auxSums: Readonly<Partial<Record<AuxiliaryName<N>, Float64Array>>>,
    ctx: LinearContext<O>,
  ): RuleState;
  broadcast?(state: RuleState): Tensors;
}

interface Entry {
  readonly clientId: string;
  readonly facts: UpdateFacts;
  readonly weight: number;
  readonly scalars: Readonly<Record<string, number>>;
}

/** The partial sum of a round. Partial sums of the same round can be added ({@link mergeLinear}). */
export interface LinearSum {
  readonly sum: Contribution;
  readonly aux: Map<string, Contribution>;
  readonly entries: Entry[];
}

/** A rule from the weight that it gives. @throws TributaryError `bad_facts` for a weight below 0. */
export function linearRule<O, const N extends Needs = Record<never, never>>(
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
    begin: ({ model }) => ({ sum: emptyContribution(model.length), aux: new Map(), entries: [] }),
    async accumulate(acc, update, ctx) {
      const weighed = weigh(update, ctx);
      checkCaps(name, update, weighed, acc, ctx);
      await foldUpdate(acc, update, weighed, ctx);
    },
    finish(acc, ctx) {
      const entries = inClientOrder(acc.entries, name, fewest(ctx.options));
      return Promise.resolve(outcomeOf(definition, acc, entries, ctx));
    },
    ...(definition.broadcast && { broadcast: (state) => definition.broadcast!(state) }),
  };
}

/** Adds another partial sum of the same round: the same bits as if all had been folded into one. */
export function mergeLinear<O>(acc: LinearSum, other: LinearSum, { kernels }: RuleContext<O>): void {
  addTo(acc.sum, other.sum, kernels);
  for (const [vector, sum] of other.aux) {
    const mine = acc.aux.get(vector);
    if (mine) addTo(mine, sum, kernels);
    else acc.aux.set(vector, sum);
  }
  acc.entries.push(...other.entries);
}
