/**
 * The nearest point of the probability simplex. Held, Wolfe, Crowder: "Validation of Subgradient
 * Optimization", Mathematical Programming 1974; Duchi et al., ICML 2008.
 */

/** The x >= 0 with sum 1 that is nearest to `values`, of which there is at least one. */
export function projectOnSimplex(values: readonly number[]): number[] {
  // A shift of all changes nothing, and what is 1 below the greatest ends as 0 wherever it stands:
  // so numbers of any size are added without overflow.
  const greatest = Math.max(...values);
  const near = values.map((value) => Math.max(value - greatest, -1));
  const sorted = [...near].sort((a, b) => b - a);
  let [sum, threshold] = [0, 0];
  for (const [index, value] of sorted.entries()) {
    sum += value;
    const candidate = (sum - 1) / (index + 1);
    if (value <= candidate) break;
    threshold = candidate;
  }
  return near.map((value) => Math.max(value - threshold, 0));
}
