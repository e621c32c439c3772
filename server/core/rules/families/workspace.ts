/** What a combination rule sees of a round: inner products and answers of the oracle, no vectors. */
import { TributaryError } from '../../../../protocol/errors.js';
import { DELTA } from '../../../../protocol/update.js';
import { applyDelta } from '../../apply.js';
import type { LossOracle } from '../../ports.js';
import { oracleOf } from '../combination/proxy.js';
import type { Coefficients, Needs, RuleContext, UpdateFacts, UpdateReader } from '../rule.js';
import { checkCoefficients, combined } from './coefficients.js';
import type { Gram, Granularity, VectorRef } from './gram.js';
import { gramMatrices } from './gram.js';
import type { SignCounts } from './signs.js';
import { signCounts } from './signs.js';
import type { PassParts, Row } from './tile-reader.js';
import { eachSegment, segments, tileReader } from './tile-reader.js';
import type { AuxiliaryName, VectorName } from './vectors.js';
import { declaredVectors } from './vectors.js';

/** What every combination rule may ask. Updates are named by their place in client-id order. */
export interface Questions<V extends string> {
  readonly updates: readonly UpdateFacts[];
  /**
   * Inner products between vectors: one matrix, or one a tensor of the layout. `rows` are the deltas
   * and all declared auxiliary vectors, if nothing is said; the cost grows with their square.
   */
  gram(granularity: Granularity, rows?: readonly VectorRef<V>[]): Promise<readonly Gram<V>[]>;
  /** <v, w> and <v, D_i>, for v flat over the shared parameters. */
  dot(v: Float32Array): Promise<{ readonly model: number; readonly updates: readonly number[] }>;
  /** How many coordinates of each delta are positive, zero and negative. */
  signs(): Promise<readonly SignCounts[]>;
  /** The model that these coefficients would give. */
  at(coefficients: Coefficients): Promise<Float32Array>;
}

interface WithOracle {
  readonly oracle: LossOracle;
}
interface WithTarget {
  /** The place of the one update that comes from a target client. */
  readonly target: number;
}
interface WithAuxiliary<A extends string> {
  /** The auxiliary vectors that an update came with. */
  auxiliary(update: number): readonly A[];
}

/** The questions, and what the rule declared to need: what it did not declare does not compile. */
export type Workspace<N extends Needs> = Questions<VectorName<N>> &
  (N extends { readonly oracle: true } ? WithOracle : unknown) &
  (N extends { readonly target: true } ? WithTarget : unknown) &
  ([AuxiliaryName<N>] extends [never] ? unknown : WithAuxiliary<AuxiliaryName<N>>);

type FullWorkspace = Questions<string> & WithOracle & WithTarget & WithAuxiliary<string>;

interface Opened {
  readonly x: FullWorkspace;
  /** The change of the model by these coefficients. */
  readonly delta: (coefficients: Coefficients) => Promise<Float64Array>;
}

/**
 * @param updates in client-id order
 * @throws TributaryError `rule_needs` where the round lacks what the rule needs.
 */
export function openWorkspace(
  rule: string,
  needed: Needs,
  updates: readonly UpdateReader[],
  ctx: RuleContext<unknown>,
): Opened {
  const { model, layout, kernels } = ctx;
  const auxiliary = updates.map((update) => declaredVectors(update, needed.vectors ?? []));
  const everything: readonly Row[] = updates.flatMap((_, update) =>
    [DELTA, ...auxiliary[update]].map((vector) => ({ update, vector })),
  );
  const deltas = everything.filter(({ vector }) => vector === DELTA);
  const parts = {
    model,
    kernels,
    tensors: layout.tensors.length,
    read: tileReader(updates),
    segments: segments(layout, everything.length),
  };
  const delta = async (coefficients: Coefficients): Promise<Float64Array> => {
    checkCoefficients(rule, coefficients, updates, layout);
    return combined(coefficients, parts);
  };
  const x: FullWorkspace = {
    updates,
    gram: (granularity, rows = everything) => gramMatrices(rows.map(asRow), granularity, parts),
    dot: (v) => dots(v, deltas, model, parts),
    signs: () => signCounts(deltas, parts),
    at: async (coefficients) => applyDelta(model, await delta(coefficients)),
    auxiliary: (update) => auxiliary[update],
    target: needed.target ? targetOf(rule, updates) : -1,
    oracle: needed.oracle ? oracleOf(rule, ctx.oracle) : absentOracle(rule),
  };
  return { x, delta };
}

function asRow({ update, vector = DELTA }: VectorRef<string>): Row {
  return { update, vector };
}

function targetOf(rule: string, updates: readonly UpdateFacts[]): number {
  const targets = updates.flatMap(({ role }, i) => (role === 'target' ? [i] : []));
  if (targets.length === 1) return targets[0];
  const message = `the rule "${rule}" needs exactly one target, and the round has ${targets.length}`;
  throw new TributaryError('rule_needs', message);
}

/** Where a rule does without its oracle under these options, and asks it nevertheless. */
function absentOracle(rule: string): LossOracle {
  const message = `the rule "${rule}" asked an oracle that it does not need under these options`;
  return { batches: 0, lossAndGrad: () => Promise.reject(new TributaryError('internal', message)) };
}

async function dots(
  v: Float32Array,
  deltas: readonly Row[],
  model: Float32Array,
  parts: PassParts,
): Promise<{ model: number; updates: number[] }> {
  if (v.length !== model.length) {
    const sizes = `${v.length} and ${model.length}`;
    throw new TributaryError('internal', `a vector and the model have ${sizes} elements`);
  }
  const sums = { model: 0, updates: deltas.map(() => 0) };
  await eachSegment(deltas, parts, (tiles, { start, length }) => {
    const part = v.subarray(start, start + length);
    sums.model += dot(part, model.subarray(start, start + length));
    tiles.forEach((tile, i) => (sums.updates[i] += dot(part, tile)));
  });
  return sums;
}

function dot(a: Float32Array, b: Float32Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
}
