/**
 * Sorting networks: comparisons whose order does not depend on the values, for any number of rows.
 * This one is the bitonic merge sort with the second run turned round, in which every comparison puts
 * the lesser value first (Batcher, "Sorting Networks and Their Applications", AFIPS 1968): it falls
 * apart into groups of eight rows that go through three layers of comparisons in registers.
 */
import type { RankWindow } from '../../core/kernels/kernels.js';

/**
 * What a step does with its rows, which are given in ascending order. A flip has two runs and takes
 * the second one backwards: it begins a merge.
 */
export const stepKinds = { sort8: 0, merge8: 1, flip8: 2, merge4: 3, flip4: 4 } as const;
/** The first of four kinds that find one result of a step of four rows: its place is added. */
const PICK = 5;

export interface Step {
  readonly kind: keyof typeof stepKinds;
  readonly rows: readonly number[];
  /** The place of the only row, of four, that is asked for afterwards. */
  readonly only?: number;
}

/** Words of a step in memory: its kind and eight rows. */
export const STEP_WORDS = 9;
const RUN = 8;

/**
 * The steps that bring the values of a window of ranks to their places, in order. Rows from `count` on
 * stand for infinities, which stay where they are.
 */
export function rankNetwork(count: number, { from, to }: RankWindow): Step[] {
  const isNeeded = Array.from({ length: padded(count) }, (_, rank) => from <= rank && rank < to);
  const kept: Step[] = [];
  // Backwards: what no later step and no rank of the window asks for need not be done.
  for (const step of [...wholeNetwork(count)].reverse()) {
    const asked = step.rows.flatMap((row, place) => (isNeeded[row] ? [place] : []));
    if (asked.length === 0) continue;
    for (const row of step.rows) isNeeded[row] = true;
    const isPick = asked.length === 1 && step.rows.length === 4;
    kept.push(isPick ? { ...step, only: asked[0] } : step);
  }
  return kept.reverse();
}

/** The steps as the kernels read them: `count` is the row of infinities. */
export function encodeSteps(steps: readonly Step[], count: number): Uint32Array {
  const words = new Uint32Array(steps.length * STEP_WORDS);
  steps.forEach((step, i) => {
    const [kind, ...rows] = encoded(step);
    words.set([kind, ...rows.map((row) => Math.min(row, count))], i * STEP_WORDS);
  });
  return words;
}

/** In the order in which the kernels load them: a pick has its two pairs, and the row to write. */
function encoded({ kind, rows, only }: Step): number[] {
  const half = rows.length / 2;
  const isFlip = kind === 'flip8' || kind === 'flip4';
  const inOrder = isFlip ? [...rows.slice(0, half), ...rows.slice(half).reverse()] : [...rows];
  if (only === undefined) return [stepKinds[kind], ...inOrder];
  const [a, b, c, d] = inOrder;
  return [PICK + only, a, c, b, d, rows[only]];
}

function padded(count: number): number {
  let size = RUN;
  while (size < count) size *= 2;
  return size;
}

function* wholeNetwork(count: number): Generator<Step> {
  for (let start = 0; start < count; start += RUN) {
    yield { kind: 'sort8', rows: range(RUN, (i) => start + i) };
  }
  for (let size = 2 * RUN; size <= padded(count); size *= 2) {
    // A run whose partner has nothing but infinities is merged already.
    for (let start = 0; start + size / 2 < count; start += size) {
      for (const step of merge(start, size)) {
        if (step.rows.filter((row) => row < count).length > 1) yield step;
      }
    }
  }
}

/**
 * Merges two sorted runs that make up `size` rows from `start` on: the first layer compares each row
 * with its mirror image, the others with rows half as far each time.
 */
function* merge(start: number, size: number): Generator<Step> {
  const [first, ...others] = layerGroups(31 - Math.clz32(size));
  yield* flips(start, size, first);
  let distance = size >> (first + 1);
  for (const layers of others) {
    yield* cleaning(start, size, distance, layers);
    distance >>= layers;
  }
}

/** So many layers in groups of three and two, the longer ones last. */
function layerGroups(layers: number): number[] {
  const twos = (3 - (layers % 3)) % 3;
  const threes = (layers - 2 * twos) / 3;
  return [...range(twos, () => 2), ...range(threes, () => 3)];
}

function* flips(start: number, size: number, layers: number): Generator<Step> {
  const half = 1 << (layers - 1);
  const apart = size / 2 / half;
  for (let j = 0; j < apart; j++) {
    const lower = range(half, (i) => start + j + i * apart);
    const upper = lower.map((row) => 2 * start + size - 1 - row).reverse();
    yield { kind: layers === 3 ? 'flip8' : 'flip4', rows: [...lower, ...upper] };
  }
}

/** Layers at `distance`, half of it, and so on, within blocks of twice the distance. */
function* cleaning(start: number, size: number, distance: number, layers: number): Generator<Step> {
  const wires = 1 << layers;
  const apart = (2 * distance) / wires;
  for (let block = start; block < start + size; block += 2 * distance) {
    for (let j = 0; j < apart; j++) {
      const rows = range(wires, (i) => block + j + i * apart);
      yield { kind: layers === 3 ? 'merge8' : 'merge4', rows };
    }
  }
}

function range(length: number, at: (i: number) => number): number[] {
  return Array.from({ length }, (_, i) => at(i));
}
