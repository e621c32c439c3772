/**
 * Auto-weighting of source clients. Jiang, Zhang, Wang, Koyejo: "Principled Federated Domain
 * Adaptation: Gradient Projection and Auto-Weighting", ICLR 2024.
 *
 * How far may a source pull the target's update? As far as the target's own noise (its batches
 * disagree) outweighs the distance between the two domains. Both are estimated from the updates of
 * the target's single batches, from inner products alone.
 */

/** Inner products between the target's B batch updates g_j and one source's update g_S. */
export interface BatchProducts {
  /** <g_j, g_k> */
  readonly batches: readonly (readonly number[])[];
  /** <g_j, g_S> */
  readonly withSource: readonly number[];
  /** |g_S|^2 */
  readonly source: number;
  /** Elements of the vectors: m. */
  readonly dimensions: number;
}

export interface BetaEstimate {
  /** Variance of the target's mean update, per dimension. */
  readonly sigma2: number;
  /** Squared distance between source and target, per dimension; d2 of FedDA. */
  readonly d2: number;
  /** The same for what projecting on the source loses; tau^2 d^2 of FedGP. */
  readonly t2d2: number;
  /** How surely the source is not opposed to the target. */
  readonly delta: number;
  readonly da: number;
  readonly gp: number;
  readonly thresholded: number;
}

/**
 * The estimate for B >= 2 batches. Squares of differences are summed pair by pair, not as
 * differences of great sums: batches that agree exactly have a variance of exactly 0.
 */
export function estimateBeta(products: BatchProducts): BetaEstimate {
  const { batches, withSource, source, dimensions: m } = products;
  const B = batches.length;

  const spread = spreadOf(B, (j, k) => batches[j][j] + batches[k][k] - 2 * batches[j][k]);
  const spreadAlong = spreadOf(B, (j, k) => square(withSource[j] - withSource[k])) / source;
  const s2 = spread / ((B - 1) * m);
  const sigma2 = s2 / B;

  const apart = sum(B, (j) => batches[j][j] - 2 * withSource[j] + source);
  const d2 = Math.max(apart / (B * m) - s2, 0);

  const left = sum(B, (j) => batches[j][j] - (withSource[j] / source) * withSource[j]);
  const t2d2 = Math.max(left / (B * m) - (spread - spreadAlong) / ((B - 1) * m), 0);

  const agreeing = sum(B, (j) => (withSource[j] > 0 ? 1 : 0)) / B;
  const delta = 1 - (1 - agreeing) / B;
  const meanSquared = sum(B, (j) => sum(B, (k) => batches[j][k])) / (B * B * m);
  return {
    sigma2,
    d2,
    t2d2,
    delta,
    da: usable(sigma2 / (sigma2 + d2)),
    gp: usable(sigma2 / (sigma2 + t2d2)),
    thresholded: usable(sigma2 / (sigma2 + delta * t2d2 + (1 - delta) * meanSquared)),
  };
}

/** In [0, 1]; one half where the estimate has no answer (0/0, a source that did not move). */
function usable(beta: number): number {
  return Number.isFinite(beta) ? Math.max(0, Math.min(1, beta)) : 0.5;
}

function square(x: number): number {
  return x * x;
}

function sum(count: number, term: (index: number) => number): number {
  let total = 0;
  for (let index = 0; index < count; index++) total += term(index);
  return total;
}

/** sum_j |a_j - mean|^2, as sum_j sum_k |a_j - a_k|^2 / (2 B). */
function spreadOf(B: number, squaredDistance: (j: number, k: number) => number): number {
  return sum(B, (j) => sum(B, (k) => squaredDistance(j, k))) / (2 * B);
}
