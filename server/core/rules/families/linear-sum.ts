/** The partial sum of a linear rule: what replicas and crashed rounds can put together again. */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import { addContribution, countUpdate, emptyContribution } from '../../kernels/fold.js';
import type { Contribution, Kernels } from '../../kernels/kernels.js';
import type { RuleContext, UpdateFacts, UpdateReader, WeightedUpdate } from '../rule.js';
import { plainFacts } from '../rule.js';
import { BATCH, foldElements } from './fold-elements.js';

/** Updates that wait to be shared out: each time costs a round of messages. They are open files only. */
const SHARED_OUT = 256;

/** What a linear rule says about one update, with nothing left out. */
export interface WeighedInFull {
  readonly weight: number;
  readonly scalars: Readonly<Record<string, number>>;
  readonly aux: Readonly<Record<string, number>>;
}

export interface LinearEntry extends WeighedInFull {
  readonly clientId: string;
  readonly facts: UpdateFacts;
}

export interface LinearSum {
  readonly sum: Contribution;
  /** Weighted sums of auxiliary vectors, by name. */
  readonly aux: Map<string, Contribution>;
  readonly entries: LinearEntry[];
  /** Updates that are counted among the entries and not yet in the sums. */
  readonly pending: PendingUpdate[];
  /** Updates of a first round, whose weights depend on who else is there. */
  readonly waiting: UpdateReader[];
}

interface PendingUpdate {
  readonly update: UpdateReader;
  readonly weighed: WeighedInFull;
}

type FoldContext = Pick<RuleContext<unknown>, 'fold' | 'kernels' | 'foldVector'>;

export function emptySum(size: number): LinearSum {
  return { sum: emptyContribution(size), aux: new Map(), entries: [], pending: [], waiting: [] };
}

/** Adds one update, as soon as there are enough to be folded together. */
export async function foldUpdate(
  acc: LinearSum,
  update: UpdateReader,
  weighed: WeighedInFull,
  ctx: FoldContext,
): Promise<void> {
  const facts = plainFacts(update);
  acc.entries.push({ clientId: facts.clientId, facts, ...weighed });
  acc.pending.push({ update, weighed });
  const enough = ctx.foldVector ? SHARED_OUT : BATCH;
  if (acc.pending.length >= enough) await foldPending(acc, ctx);
}

/**
 * Folds what waits. To be called before the sums are looked at. In which batches updates were folded
 * leaves no trace: the sum is exact.
 */
export async function foldPending(acc: LinearSum, ctx: FoldContext): Promise<void> {
  const batch = acc.pending.splice(0);
  if (batch.length === 0) return;
  await foldVector(acc.sum, DELTA, batch.map(weightedBy(({ weight }) => weight)), ctx);
  const vectors = new Set(batch.flatMap(({ weighed }) => Object.keys(weighed.aux)));
  for (const vector of vectors) {
    const sent = batch.filter(({ weighed }) => Object.hasOwn(weighed.aux, vector));
    const weighted = sent.map(weightedBy(({ aux }) => aux[vector]));
    await foldVector(auxiliarySum(acc, vector), vector, weighted, ctx);
  }
}

function weightedBy(
  weightOf: (weighed: WeighedInFull) => number,
): (pending: PendingUpdate) => WeightedUpdate {
  return ({ update, weighed }) => ({ update, weight: weightOf(weighed) });
}

async function foldVector(
  sum: Contribution,
  vector: string,
  updates: readonly WeightedUpdate[],
  ctx: FoldContext,
): Promise<void> {
  if (ctx.foldVector) await ctx.foldVector(sum.terms, vector, updates);
  else await foldElements(sum.terms, vector, updates, { from: 0, to: sum.terms.length }, ctx);
  for (const { weight } of updates) countUpdate(sum, weight, ctx.fold);
}

/**
 * Adds another partial sum of the same round: the same bits as if one had folded all. What waits in
 * the other waits here afterwards.
 */
export function mergeSums(acc: LinearSum, other: LinearSum, kernels: Kernels): void {
  addContribution(acc.sum, other.sum, kernels);
  for (const [vector, sum] of other.aux) addContribution(auxiliarySum(acc, vector), sum, kernels);
  acc.entries.push(...other.entries);
  acc.pending.push(...other.pending);
  acc.waiting.push(...other.waiting);
}

function auxiliarySum(acc: LinearSum, vector: string): Contribution {
  const present = acc.aux.get(vector);
  if (present) return present;
  const created = emptyContribution(acc.sum.terms.length);
  acc.aux.set(vector, created);
  return created;
}

/**
 * Admission held the update against the caps before its receipt. Again here, because a sum that
 * overflowed would be wrong without a trace.
 * @throws TributaryError `bad_facts`, `over_cap`.
 */
export function checkWeighed(
  rule: string,
  { clientId, maxAbs }: UpdateFacts,
  { weight, aux }: WeighedInFull,
  { weightMax, deltaMax }: RuleContext<unknown>['fold'],
): void {
  if (!(Number.isFinite(weight) && weight >= 0)) {
    const message = `the rule "${rule}" gives client "${clientId}" the weight ${weight}`;
    throw new TributaryError('bad_facts', message);
  }
  const over = (what: string, value: number, cap: number): void => {
    if (value <= cap) return;
    const message = `${what} of client "${clientId}" is ${value}, over the run's cap of ${cap}`;
    throw new TributaryError('over_cap', message);
  };
  over('the weight', weight, weightMax);
  over('the greatest value in the update', maxAbs, deltaMax);
  for (const [vector, w] of Object.entries(aux))
    over(`the weight of "${vector}"`, Math.abs(w), weightMax);
}
