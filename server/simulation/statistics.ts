/** The few numbers that tables of results are made of. */

export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Standard deviation by n - 1; 0 for a single value. */
export function deviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const centre = mean(values);
  const squares = values.reduce((sum, v) => sum + (v - centre) * (v - centre), 0);
  return Math.sqrt(squares / (values.length - 1));
}

/**
 * Area under the ROC curve: how often an example of class 1 scores above one of class 0, ties half
 * (Mann and Whitney 1947). Null where one of the classes does not occur.
 */
export function areaUnderCurve(
  scores: ArrayLike<number>,
  labels: ArrayLike<number>,
): number | null {
  const positions = Array.from({ length: labels.length }, (_, i) => i);
  const above = positions.filter((i) => labels[i] === 1).map((i) => scores[i]);
  const below = positions.filter((i) => labels[i] === 0).map((i) => scores[i]);
  if (above.length === 0 || below.length === 0) return null;
  let wins = 0;
  for (const one of above) {
    for (const other of below) wins += one > other ? 1 : one === other ? 0.5 : 0;
  }
  return wins / (above.length * below.length);
}
