/** The partial sum of a linear rule: what replicas and crashed rounds can put together again. */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import { addContribution, emptyContribution, foldTile, weightTerm } from '../../kernels/fold.js';
import type { Contribution, Kernels } from '../../kernels/kernels.js';
import { tiles } from '../../layout.js';
import type { RuleContext, UpdateFacts, UpdateReader } from '../rule.js';
import { readExactly } from './vectors.js';

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
}

type FoldContext = Pick<RuleContext<unknown>, 'fold' | 'kernels'>;

export function emptySum(size: number): LinearSum {
  return { sum: emptyContribution(size), aux: new Map(), entries: [] };
}

/** Adds one update, tile by tile. */
export async function foldUpdate(
  acc: LinearSum,
  update: UpdateReader,
  weighed: WeighedInFull,
  { fold, kernels }: FoldContext,
): Promise<void> {
  const { clientId, role, numExamples, numSteps, metrics, norm, maxAbs } = update;
  const { baseVersion, staleness } = update;
  const facts = {
    clientId,
    role,
    numExamples,
    numSteps,
    metrics,
    norm,
    maxAbs,
    baseVersion,
    staleness,
  };
  acc.entries.push({ clientId, facts, ...weighed });

  const add = async (sum: Contribution, vector: string, weight: number): Promise<void> => {
    for (const { start, length } of tiles(sum.terms.length)) {
      const tile = await readExactly(update, vector, start, length);
      foldTile(sum, start, tile, weight, fold, kernels);
    }
    sum.weight += weightTerm(weight, fold);
    sum.count += 1;
  };
  await add(acc.sum, DELTA, weighed.weight);
  for (const [vector, weight] of Object.entries(weighed.aux)) {
    await add(auxiliarySum(acc, vector), vector, weight);
  }
}

/** Adds another partial sum of the same round: the same bits as if one had folded all. */
export function mergeSums(acc: LinearSum, other: LinearSum, kernels: Kernels): void {
  addContribution(acc.sum, other.sum, kernels);
  for (const [vector, sum] of other.aux) addContribution(auxiliarySum(acc, vector), sum, kernels);
  acc.entries.push(...other.entries);
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
