/**
 * Mean shift with a flat kernel (Comaniciu, Meer 2002), with the bandwidth that SignGuard's authors
 * use: the mean over all points of the distance to the nearest half of them, two at least. No
 * number of clusters has to be known.
 */

export type Point = readonly number[];

const STEPS_MAX = 300;
/** A step shorter than this share of the bandwidth is the last. */
const STILL = 1e-3;
/** The mean of equal points is not always equal to them: a window of no width would miss them all. */
const WIDTH_MIN = 1e-9;

/**
 * The places of the points of the largest cluster, ascending; of equally large ones, the one whose
 * first point comes first. Points that lie outside every window belong to none.
 */
export function largestCluster(points: readonly Point[]): number[] {
  const bandwidth = bandwidthOf(points);
  const modes = distinctModes(points, bandwidth);
  const clusters = modes.map((): number[] => []);
  points.forEach((point, place) => {
    const away = modes.map((mode) => distance(mode, point));
    const nearest = away.indexOf(Math.min(...away));
    if (away[nearest] <= bandwidth) clusters[nearest].push(place);
  });
  return clusters.reduce((best, cluster) => (isLarger(cluster, best) ? cluster : best));
}

function isLarger(a: readonly number[], b: readonly number[]): boolean {
  return a.length > b.length || (a.length === b.length && a[0] < b[0]);
}

function distance(a: Point, b: Point): number {
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) * (x - b[i]), 0));
}

/** The mean distance from a point to the furthest of the nearest half, itself included. */
function bandwidthOf(points: readonly Point[]): number {
  // Of two or three points the nearest half would be the point itself, and no two ever a cluster.
  const half = Math.min(points.length, Math.max(2, points.length >> 1));
  const reaches = points.map(
    (point) => Float64Array.from(points, (other) => distance(point, other)).sort()[half - 1],
  );
  return Math.max(WIDTH_MIN, reaches.reduce((sum, reach) => sum + reach, 0) / points.length);
}

function within(points: readonly Point[], centre: Point, bandwidth: number): readonly Point[] {
  return points.filter((point) => distance(point, centre) <= bandwidth);
}

function meanOf(points: readonly Point[]): Point {
  return points[0].map((_, i) => points.reduce((sum, point) => sum + point[i], 0) / points.length);
}

/** Where the window comes to rest that starts at this point. */
function modeFrom(start: Point, points: readonly Point[], bandwidth: number): Point {
  let centre = start;
  for (let step = 0; step < STEPS_MAX; step++) {
    const inside = within(points, centre, bandwidth);
    // The mean of few points that are far apart may be out of reach of all of them.
    if (inside.length === 0) return centre;
    const next = meanOf(inside);
    const moved = distance(next, centre);
    centre = next;
    if (moved <= STILL * bandwidth) return centre;
  }
  return centre;
}

/** The modes in order of the points under them, without those in the window of one before. */
function distinctModes(points: readonly Point[], bandwidth: number): readonly Point[] {
  const ranked = points
    .map((point) => modeFrom(point, points, bandwidth))
    .map((mode) => ({ mode, under: within(points, mode, bandwidth).length }))
    .sort((a, b) => b.under - a.under);
  const kept: Point[] = [];
  for (const { mode } of ranked) {
    if (kept.every((other) => distance(other, mode) > bandwidth)) kept.push(mode);
  }
  return kept;
}
