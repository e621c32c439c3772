/** Agglomerative clustering with average linkage, stopped at two clusters. */
import type { Products } from './geometry.js';

/** Two clusters, each in ascending order, and the mean distance between their members. */
export interface TwoClusters {
  readonly clusters: readonly (readonly number[])[];
  /** 0 where there is only one cluster, which is so for one point. */
  readonly distance: number;
}

/**
 * Merges the two nearest clusters until two are left. The distance of clusters is the mean over all
 * pairs of their members; of equally near ones, those with the lowest places are merged first.
 */
export function twoClusters(distances: Products): TwoClusters {
  const between = distances.map((row) => Float64Array.from(row));
  const members = distances.map((_, place): number[] => [place]);
  let alive = distances.map((_, place) => place);
  const nearest = alive.map((place) => nearestTo(place, alive, between));
  while (alive.length > 2) {
    const from = closest(alive, nearest, between);
    const [into, gone] = [Math.min(from, nearest[from]), Math.max(from, nearest[from])];
    alive = alive.filter((place) => place !== gone);
    mergeInto(into, gone, alive, members, between);
    // With average linkage no merge comes nearer than its parts were: all other rows stay right.
    for (const place of alive) {
      const stale = place === into || nearest[place] === into || nearest[place] === gone;
      if (stale) nearest[place] = nearestTo(place, alive, between);
    }
  }
  const clusters = alive.map((place) => members[place].sort((a, b) => a - b));
  return { clusters, distance: alive.length === 2 ? between[alive[0]][alive[1]] : 0 };
}

/** The cluster that is nearest to this one; -1 where it is alone. */
function nearestTo(place: number, alive: readonly number[], between: Products): number {
  let best = -1;
  for (const other of alive) {
    if (other === place) continue;
    if (best < 0 || between[place][other] < between[place][best]) best = other;
  }
  return best;
}

/** The cluster whose nearest is the nearest of all. */
function closest(alive: readonly number[], nearest: readonly number[], between: Products): number {
  let best = alive[0];
  for (const place of alive) {
    if (between[place][nearest[place]] < between[best][nearest[best]]) best = place;
  }
  return best;
}

function mergeInto(
  into: number,
  gone: number,
  alive: readonly number[],
  members: number[][],
  between: Products,
): void {
  const [a, b] = [members[into].length, members[gone].length];
  for (const other of alive) {
    if (other === into) continue;
    const mean = (a * between[into][other] + b * between[gone][other]) / (a + b);
    between[into][other] = mean;
    between[other][into] = mean;
  }
  members[into].push(...members[gone]);
}
