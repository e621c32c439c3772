/** What rules say of a handful of numbers, one a client. */

/** Of one number or more; the mean of the two in the middle where their count is even. */
export function medianOf(values: Iterable<number>): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[half];
  // Halved before they are added: two that are huge would give infinity.
  return sorted[half - 1] / 2 + sorted[half] / 2;
}
