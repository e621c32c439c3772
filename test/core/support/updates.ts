/** Cohorts whose clients differ in one thing. */
import type { TestUpdate } from '../round.js';

type Delta = readonly number[];

export const update = (
  clientId: string,
  delta: Delta,
  more: Partial<TestUpdate> = {},
): TestUpdate => ({ clientId, delta, ...more });

/** One for each delta, in the order of their clients' ids. */
export const updatesOf = (
  deltas: readonly Delta[],
  examples: readonly number[] = [],
): TestUpdate[] =>
  deltas.map((delta, i) =>
    update(`c${String(i).padStart(2, '0')}`, delta, { numExamples: examples[i] ?? 1 }),
  );

/** One for what each client says; the i-th moves its one parameter by i + 1. */
export const updatesWith = (...facts: readonly Partial<TestUpdate>[]): TestUpdate[] =>
  facts.map((one, i) => update(`c${i}`, [i + 1], one));

export const losses = (...values: number[]): TestUpdate[] =>
  updatesWith(...values.map((lossBefore) => ({ metrics: { lossBefore, learningRate: 0.1 } })));
