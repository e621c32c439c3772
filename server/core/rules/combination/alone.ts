/** Every client's own model, judged by the oracle. */
import { TributaryError } from '../../../../protocol/errors.js';
import type { Workspace } from '../families/workspace.js';
import type { Coefficients } from '../rule.js';
import { rankingLoss } from './proxy.js';

type X = Workspace<{ readonly oracle: true }>;

export interface Alone {
  /** By the place of the update; Infinity for a model that has no finite loss. */
  readonly losses: readonly number[];
  /** Places from the lowest loss to the highest, equal ones in client-id order. */
  readonly order: readonly number[];
}

/** @throws TributaryError `not_finite` where not one of the models has a finite loss. */
export async function judgeAlone(rule: string, x: X): Promise<Alone> {
  const losses: number[] = [];
  for (const i of x.updates.keys()) losses.push(await lossOfMean(rule, x, [i]));
  const order = [...losses.keys()].sort((a, b) => compare(losses[a], losses[b]) || a - b);
  if (losses[order[0]] === Infinity) {
    const message = `the rule "${rule}" finds no client's model with a finite loss on the proxy set`;
    throw new TributaryError('not_finite', message);
  }
  return { losses, order };
}

/** Infinity minus itself is NaN, and would leave the order to chance. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

/** The plain mean of some of the models. */
export function meanOf({ updates }: Pick<X, 'updates'>, kept: readonly number[]): Coefficients {
  return { model: 1, updates: updates.map((_, i) => (kept.includes(i) ? 1 / kept.length : 0)) };
}

export async function lossOfMean(rule: string, x: X, kept: readonly number[]): Promise<number> {
  return rankingLoss(rule, x.oracle, await x.at(meanOf(x, kept)));
}
