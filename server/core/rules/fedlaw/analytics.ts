/** What FedLAW's authors look at in every round. */
import type { RuleState } from '../rule.js';
import type { Gram } from '../families/gram.js';
import type { Mixture } from './mixture.js';

/** Cosines between all pairs of updates; 0 with an update that is zero. */
export function cosines(gram: Gram<'delta'>, count: number): number[][] {
  const places = Array.from({ length: count }, (_, update) => update);
  const norms = places.map((update) => Math.sqrt(gram.dot({ update }, { update })));
  return places.map((i) =>
    places.map((j) => {
      const product = norms[i] * norms[j];
      if (product === 0) return 0;
      return i === j
        ? 1
        : Math.max(-1, Math.min(1, gram.dot({ update: i }, { update: j }) / product));
    }),
  );
}

/** Client coherence: the mean cosine of two different updates; null for a single one. */
export function coherence(matrix: readonly (readonly number[])[]): number | null {
  const K = matrix.length;
  if (K < 2) return null;
  const total = matrix.reduce(
    (sum, row, i) => row.reduce((rest, cosine, j) => (i === j ? rest : rest + cosine), sum),
    0,
  );
  return total / (K * (K - 1));
}

/**
 * Shrink ratio r = gamma |g| / ((1 - gamma) |w|) with g = sum_i lambda_i (w - w_i): how the step of
 * the clients compares with the shrinking of the model. Null where nothing shrinks (gamma = 1).
 */
export function shrinkRatio(
  { gamma, lambda }: Mixture,
  gram: Gram<'delta'>,
  modelNorm: number,
): number | null {
  let squared = 0;
  lambda.forEach((a, i) =>
    lambda.forEach((b, j) => (squared += a * b * gram.dot({ update: i }, { update: j }))),
  );
  const shrink = (1 - gamma) * modelNorm;
  return shrink === 0 ? null : (gamma * Math.sqrt(Math.max(0, squared))) / shrink;
}

/** Remembers the critical point: the first round whose coherence is not positive. */
export function withCriticalPoint(
  state: RuleState,
  round: number,
  roundCoherence: number | null,
): RuleState {
  if ('criticalPoint' in state.values || roundCoherence === null || roundCoherence > 0)
    return state;
  return { ...state, values: { ...state.values, criticalPoint: round } };
}
