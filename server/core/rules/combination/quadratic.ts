/**
 * Small dense quadratic programs over coefficients a_1 … a_K: minimise a'Qa/2 - p'a, Q symmetric and
 * row-major. Each method takes its steps in one fixed order, so that the same numbers give the same
 * bits.
 */

export interface Quadratic {
  readonly size: number;
  /** K x K, row-major, symmetric. */
  readonly Q: Float64Array;
  readonly p: Float64Array;
}

/** Relative to the size of the numbers in Q and p. */
const TOLERANCE = 1e-14;
const STEPS_MAX = 200_000;
/** The gradient is kept up to date by small changes: made anew this often, rounding cannot pile up. */
const REFRESH = 1000;

function gradient({ size, Q, p }: Quadratic, a: Float64Array): Float64Array {
  return Float64Array.from(p, (value, i) => {
    let total = -value;
    for (let j = 0; j < size; j++) total += Q[i * size + j] * a[j];
    return total;
  });
}

function scaleOf({ size, Q, p }: Quadratic): number {
  let largest = 0;
  for (let i = 0; i < size; i++) {
    largest = Math.max(largest, Math.abs(Q[i * size + i]), Math.abs(p[i]));
  }
  return largest;
}

export interface Bounds {
  readonly low: readonly number[];
  readonly high: readonly number[];
}

/**
 * The minimum over the simplex cut by bounds: sum a = 1, low <= a <= high. Pairs of coefficients are
 * moved against each other, the pair that gains most first (sequential minimal optimisation; Fan,
 * Chen, Lin, JMLR 2005), which needs no inverse: equal updates make Q singular.
 *
 * @param start feasible; returned where nothing gains on it.
 */
export function minimiseOnSimplex(
  problem: Quadratic,
  start: readonly number[],
  { low, high }: Bounds,
): number[] {
  const { size, Q } = problem;
  const a = Float64Array.from(start);
  const tolerance = TOLERANCE * scaleOf(problem);
  let g = gradient(problem, a);
  for (let step = 1; step <= STEPS_MAX; step++) {
    if (step % REFRESH === 0) g = gradient(problem, a);
    const pair = bestPair(problem, a, g, { low, high }, tolerance);
    if (!pair) break;
    const { grows, shrinks, wanted } = pair;
    const room = Math.min(high[grows] - a[grows], a[shrinks] - low[shrinks]);
    const moved = Math.min(wanted, room);
    // At a bound exactly: a rest of 1e-17 would be tried again for ever.
    a[grows] = moved === high[grows] - a[grows] ? high[grows] : a[grows] + moved;
    a[shrinks] = moved === a[shrinks] - low[shrinks] ? low[shrinks] : a[shrinks] - moved;
    for (let k = 0; k < size; k++) g[k] += moved * (Q[k * size + grows] - Q[k * size + shrinks]);
  }
  return Array.from(a);
}

interface Pair {
  readonly grows: number;
  readonly shrinks: number;
  /** How far, if no bound were in the way. */
  readonly wanted: number;
}

/** The steepest that may grow, with the partner that promises the greatest fall; null at the end. */
function bestPair(
  { size, Q }: Quadratic,
  a: Float64Array,
  g: Float64Array,
  { low, high }: Bounds,
  tolerance: number,
): Pair | null {
  let grows = -1;
  for (let i = 0; i < size; i++) {
    if (a[i] < high[i] && (grows < 0 || g[i] < g[grows])) grows = i;
  }
  let best: Pair | null = null;
  let bestFall = 0;
  for (let j = 0; j < size; j++) {
    const slope = grows < 0 ? 0 : g[j] - g[grows];
    if (!(a[j] > low[j] && slope > tolerance)) continue;
    const curvature = Q[grows * size + grows] + Q[j * size + j] - 2 * Q[grows * size + j];
    const wanted = curvature > 0 ? slope / curvature : Infinity;
    const fall = slope * wanted;
    if (fall <= bestFall) continue;
    best = { grows, shrinks: j, wanted };
    bestFall = fall;
  }
  return best;
}

/**
 * The minimum over a >= 0, by the active set of Lawson and Hanson ("Solving Least Squares Problems",
 * 1974): descent would take for ever where updates nearly repeat each other. Q must be positive
 * definite.
 */
export function minimiseNonnegative(problem: Quadratic): number[] {
  const { size } = problem;
  const tolerance = TOLERANCE * scaleOf(problem);
  const a = new Float64Array(size);
  let free: number[] = [];
  // As many turns as coefficients are the rule; rounding could else add and drop one for ever.
  for (let turn = 0; turn < 3 * size + 10; turn++) {
    const g = gradient(problem, a);
    const wanted = steepest(g, free, tolerance);
    if (wanted < 0) break;
    free = settle(
      problem,
      a,
      [...free, wanted].sort((i, j) => i - j),
    );
  }
  return Array.from(a);
}

/** Which of the coefficients at 0 gains most by growing; -1 where none does. */
function steepest(g: Float64Array, free: readonly number[], tolerance: number): number {
  let best = -1;
  for (let i = 0; i < g.length; i++) {
    if (!free.includes(i) && g[i] < -tolerance && (best < 0 || g[i] < g[best])) best = i;
  }
  return best;
}

/** Moves the free coefficients to their minimum, fixing at 0 what meets it. @returns those left. */
function settle(problem: Quadratic, a: Float64Array, from: readonly number[]): number[] {
  let free = [...from];
  while (free.length > 0) {
    const part = partOf(problem, free);
    const factor = cholesky(part.Q, part.size);
    if (!factor) break;
    const goal = solve(part, factor);
    const steps = free.map((i, k) => stepToZero(a[i], goal[k]));
    const step = Math.min(1, ...steps);
    free.forEach((i, k) => (a[i] = steps[k] === step ? 0 : a[i] + step * (goal[k] - a[i])));
    if (step === 1 && !steps.includes(1)) break;
    free = free.filter((_, k) => steps[k] !== step);
  }
  return free;
}

/** The share of the way to the goal at which a coefficient meets 0; Infinity where it does not. */
function stepToZero(from: number, goal: number): number {
  if (goal > 0) return Infinity;
  return from === 0 ? 0 : from / (from - goal);
}

function partOf({ size, Q, p }: Quadratic, places: readonly number[]): Quadratic {
  return {
    size: places.length,
    Q: Float64Array.from(places.flatMap((i) => places.map((j) => Q[i * size + j]))),
    p: Float64Array.from(places, (i) => p[i]),
  };
}

/** The minimum without constraints: Qa = p. @param factor of Q. */
export function solve({ size, p }: Quadratic, factor: Float64Array): number[] {
  const a = Float64Array.from(p);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) a[i] -= factor[i * size + k] * a[k];
    a[i] /= factor[i * size + i];
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) a[i] -= factor[k * size + i] * a[k];
    a[i] /= factor[i * size + i];
  }
  return Array.from(a);
}

/** Cholesky's factor, lower and row-major; null where Q is not safely positive definite. */
export function cholesky(Q: Float64Array, size: number): Float64Array | null {
  const factor = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = Q[i * size + j];
      for (let k = 0; k < j; k++) rest -= factor[i * size + k] * factor[j * size + k];
      if (i !== j) factor[i * size + j] = rest / factor[j * size + j];
      else if (rest > 1e-12 * Math.abs(Q[i * size + i])) factor[i * size + i] = Math.sqrt(rest);
      else return null;
    }
  }
  return factor;
}
