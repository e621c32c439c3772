/**
 * Linear rules: a coefficient for each update from that update's own facts and from what was known
 * when the round began. They stream, merge across replicas, and work under secure aggregation,
 * because the sum is an exact fold. A rule that measures against the round before has nothing to
 * measure against in its first: there it sees the facts of all, and updates wait until they are in.
 */
import { TributaryError } from '../../../../protocol/errors.js';
import type { TrainingConfig } from '../../../../protocol/model.js';
import { DELTA } from '../../../../protocol/update.js';
import { finishFold, finishSum, weightSum } from '../../kernels/fold.js';
import type { FoldScale } from '../../kernels/kernels.js';
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
import { checkWeighed, emptySum, foldPending, foldUpdate } from './linear-sum.js';
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

/** Weighted sums of vectors over the updates of a round. */
export type VectorSums<Aux extends string> = Readonly<
  Record<typeof DELTA, Float64Array> & Partial<Record<Aux, Float64Array>>
>;

export interface LinearDefinition<O, N extends Needs> extends RuleDescription<O> {
  readonly needs?: N;
  /** What it needs under these options, where that is less. */
  needed?(options: O): Needs;
  /** Fewest updates; 1 if nothing is said. */
  minUpdates?(options: O): number;
  /** Greatest weight that `weigh` may give: it fixes the scale of the exact fold. */
  weightMax(options: O): number;
  weigh(facts: UpdateFacts, ctx: WeighContext<O>): Weighed<AuxiliaryName<N>>;
  /**
   * The state to weigh by while the rule has none: of the facts of all updates, in client-id order.
   * No update may weigh more by it than by the state of that update alone, since admission knows no
   * other.
   */
  first?(facts: readonly UpdateFacts[], options: O): RuleState;
  /** The factor on sum(weight * delta). By default the mean: 1 / sum(weight). */
  scale?(sums: LinearSums, ctx: LinearContext<O>): number;
  /**
   * The state for the next round; `state` is the one before, empty in the first. `vectorSums`:
   * sum(weight * vector), by the name of the vector; `delta` is always there.
   */
  advance?(
    state: RuleState,
    facts: readonly UpdateFacts[],
    vectorSums: VectorSums<AuxiliaryName<N>>,
    ctx: LinearContext<O>,
  ): RuleState;
  /** Added to the scaled sum: FedDyn's -h / alpha. `state` is the one that `advance` gave. */
  shift?(state: RuleState, ctx: LinearContext<O>): Float64Array;
  /** Numbers worth plotting, beside those that every rule gets. */
  diagnose?(
    facts: readonly UpdateFacts[],
    sums: LinearSums,
    ctx: LinearContext<O>,
  ): Readonly<Record<string, number>>;
  /** What it asks of the local training. */
  training?(options: O): Partial<TrainingConfig>;
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
  const { name, summary = '', paper, options, needs = {} } = definition;
  const fewest = (o: O): number => definition.minUpdates?.(o) ?? 1;
  const weigh = (facts: UpdateFacts, ctx: WeighContext<O>): WeighedInFull =>
    inFull(definition.weigh(facts, ctx));
  /** The weight as far as it can be told from this update: in a first round, the most that it gets. */
  const weighAlone = (facts: UpdateFacts, { options: o, state }: WeighContext<O>): WeighedInFull =>
    weigh(facts, { options: o, state: stateFor(definition, [facts], o, state) });
  return {
    name,
    summary,
    paper,
    options,
    family: 'linear',
    needs,
    ...(definition.needed && { needed: (o) => definition.needed!(o) }),
    minUpdates: fewest,
    weightMax: (o) => definition.weightMax(o),
    weightOf: (facts, o, state) => weighAlone(facts, { options: o, state }).weight,
    begin: ({ model }) => emptySum(model.length),
    async accumulate(acc, update, ctx) {
      const weighed = weighAlone(update, ctx);
      checkWeighed(name, update, weighed, ctx.fold);
      if (acc.entries.length + acc.waiting.length >= ctx.fold.cohortMax) {
        const message = `a round folds at most ${ctx.fold.cohortMax} updates (caps.cohortMax)`;
        throw new TributaryError('over_cap', message);
      }
      if (isFirst(definition, ctx.state)) acc.waiting.push(update);
      else await foldUpdate(acc, update, weighed, ctx);
    },
    async finish(acc, ctx) {
      const all = [...acc.entries.map(({ facts }) => facts), ...acc.waiting];
      const cohort = inClientOrder(all, name, fewest(ctx.options));
      const state = stateFor(definition, cohort, ctx.options, ctx.state);
      for (const update of acc.waiting.splice(0)) {
        const weighed = weigh(update, { ...ctx, state });
        checkWeighed(name, update, weighed, ctx.fold);
        await foldUpdate(acc, update, weighed, ctx);
      }
      await foldPending(acc, ctx);
      return outcomeOf(definition, acc, ctx, state);
    },
    ...(definition.training && { training: (o) => definition.training!(o) }),
    ...(definition.broadcast && { broadcast: (state) => definition.broadcast!(state) }),
  };
}

type FirstOf<O> = Pick<LinearDefinition<O, NoNeeds>, 'first'>;

/** Whether there is nothing yet that the rule could weigh by. */
function isFirst<O>(definition: FirstOf<O>, { values, tensors }: RuleState): boolean {
  return Boolean(definition.first) && Object.keys({ ...values, ...tensors }).length === 0;
}

/** The state that updates are weighed by in a round of this cohort. */
function stateFor<O>(
  definition: FirstOf<O>,
  cohort: readonly UpdateFacts[],
  options: O,
  state: RuleState,
): RuleState {
  return isFirst(definition, state) ? definition.first!(cohort, options) : state;
}

function inFull(weighed: Weighed<string>): WeighedInFull {
  if (typeof weighed === 'number') return { weight: weighed, scalars: {}, aux: {} };
  const { weight, scalars = {}, aux = {} } = weighed;
  return { weight, scalars, aux: aux as Readonly<Record<string, number>> };
}

function outcomeOf<O, N extends Needs>(
  definition: LinearDefinition<O, N>,
  acc: LinearSum,
  ctx: RuleContext<O>,
  weighedBy: RuleState,
): Outcome {
  const { options, round, numClients, state: before, fold, kernels } = ctx;
  const known: LinearContext<O> = { options, round, numClients, state: weighedBy };
  const entries = inClientOrder(acc.entries, definition.name, 1);
  const sums: LinearSums = {
    weight: weightSum(acc.sum, fold),
    count: acc.sum.count,
    scalars: sumOfScalars(entries),
  };
  const factor = definition.scale?.(sums, known);
  if (factor !== undefined && !Number.isFinite(factor)) {
    const message = `the rule "${definition.name}" scales the sum by ${factor}`;
    throw new TributaryError('not_finite', message);
  }
  const given = (weight: number): number => {
    if (factor !== undefined) return weight * factor;
    return sums.weight === 0 ? 0 : weight / sums.weight;
  };
  const facts = entries.map((entry) => entry.facts);
  const state = definition.advance?.(before, facts, vectorSums(acc, fold), known) ?? before;
  const delta =
    factor === undefined
      ? finishFold(acc.sum, fold, kernels)
      : finishSum(acc.sum, fold, factor, kernels);
  if (definition.shift) addTo(delta, definition.shift(state, known));
  return {
    delta,
    state,
    weights: Object.fromEntries(entries.map((e) => [e.clientId, given(e.weight)])),
    diagnostics: { ...definition.diagnose?.(facts, sums, known) },
  };
}

function addTo(delta: Float64Array, shift: Float64Array): void {
  for (let i = 0; i < delta.length; i++) delta[i] += shift[i];
}

function sumOfScalars(entries: readonly LinearEntry[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { scalars } of entries) {
    for (const [name, value] of Object.entries(scalars)) sums[name] = (sums[name] ?? 0) + value;
  }
  return sums;
}

/** A getter each: most rules look at none, and a sum is as long as the model. */
function vectorSums<Aux extends string>(acc: LinearSum, fold: FoldScale): VectorSums<Aux> {
  const sums = {};
  for (const [vector, sum] of [[DELTA, acc.sum] as const, ...acc.aux]) {
    Object.defineProperty(sums, vector, { get: () => finishSum(sum, fold, 1), enumerable: true });
  }
  return sums as VectorSums<Aux>;
}
