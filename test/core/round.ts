/** A round without an engine: updates in memory, one call that aggregates them under a rule. */
import { applyDelta } from '../../server/core/apply.js';
import { foldScale } from '../../server/core/kernels/fold.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import type { Layout } from '../../server/core/layout.js';
import type { LossOracle } from '../../server/core/ports.js';
import { parseOptions } from '../../server/core/rules/index.js';
import type {
  AggregationRule,
  AnyRule,
  Outcome,
  RuleContext,
  UpdateFacts,
  UpdateReader,
} from '../../server/core/rules/rule.js';
import { emptyState } from '../../server/core/rules/rule.js';

export interface TestUpdate extends Partial<UpdateFacts> {
  readonly clientId: string;
  readonly delta: readonly number[];
  readonly aux?: Readonly<Record<string, readonly number[]>>;
}

/** An update that is held in memory and counts how often it was read. */
export function reader({ delta, aux = {}, ...facts }: TestUpdate): UpdateReader {
  const vectors: Record<string, Float32Array> = { delta: Float32Array.from(delta) };
  for (const [name, values] of Object.entries(aux)) vectors[name] = Float32Array.from(values);
  const values = vectors.delta;
  return {
    role: 'source',
    numExamples: 1,
    numSteps: 1,
    metrics: {},
    norm: Math.sqrt(values.reduce((sum, x) => sum + x * x, 0)),
    maxAbs: values.reduce((most, x) => Math.max(most, Math.abs(x)), 0),
    baseVersion: 0,
    staleness: 0,
    ...facts,
    vectors: Object.keys(vectors),
    read: (vector, start, length) =>
      Promise.resolve(vectors[vector].subarray(start, start + length)),
  };
}

/** One tensor `w` of this size, or named tensors of these lengths. */
export function layoutFor(
  size: number,
  lengths: Readonly<Record<string, number>> = { w: size },
): Layout {
  let start = 0;
  const tensors = Object.entries(lengths).map(([name, length]) => {
    const range = { name, start, length };
    start += length;
    return range;
  });
  return { tensors, size: start };
}

export function context<O>(
  model: readonly number[] | Float32Array,
  options: O,
  more: Partial<RuleContext<O>> = {},
): RuleContext<O> {
  return {
    options,
    round: 1,
    numClients: 10,
    model: Float32Array.from(model),
    layout: layoutFor(model.length),
    state: emptyState,
    fold: foldScale({ cohortMax: 4096, weightMax: 2 ** 17, deltaMax: 8 }),
    kernels: referenceKernels,
    oracle: null,
    ...more,
  };
}

export interface Aggregated extends Outcome {
  /** The new model, with a server optimizer that adds the delta as it is. */
  readonly model: Float32Array;
}

/** begin, accumulate in the order given, finish, apply. */
export async function aggregate<O, Acc>(
  rule: AggregationRule<O, Acc>,
  updates: readonly TestUpdate[],
  ctx: RuleContext<O>,
): Promise<Aggregated> {
  const acc = rule.begin(ctx);
  for (const update of updates) await rule.accumulate(acc, reader(update), ctx);
  const outcome = await rule.finish(acc, ctx);
  return { ...outcome, model: applyDelta(ctx.model, outcome.delta) };
}

/** The same by options as a run gives them, with the scale of the fold that the run would have. */
export function aggregateWith(
  rule: AnyRule,
  options: object,
  model: readonly number[],
  updates: readonly TestUpdate[],
  more: Partial<RuleContext<unknown>> = {},
): Promise<Aggregated> {
  const parsed = parseOptions(rule, options);
  const weightMax = rule.weightMax?.(parsed) ?? 2 ** 17;
  const fold = foldScale({ cohortMax: 4096, weightMax, deltaMax: 8 });
  return aggregate(rule, updates, context(model, parsed, { fold, ...more }));
}

/**
 * Mean cross-entropy of a linear softmax model, flat [W row-major out x in, b], and its gradient in
 * float64; every batch is given as rows and classes.
 */
export function softmaxRegression(
  batches: readonly { readonly x: readonly (readonly number[])[]; readonly y: readonly number[] }[],
  outputs: number,
): LossOracle & { readonly asked: number[] } {
  const asked: number[] = [];
  return {
    asked,
    batches: batches.length,
    lossAndGrad(params, batch) {
      asked.push(batch);
      const { x, y } = batches[batch];
      const inputs = x[0].length;
      const grad = new Float64Array(params.length);
      let loss = 0;
      x.forEach((row, n) => {
        const logits = Array.from({ length: outputs }, (_, o) =>
          row.reduce(
            (sum, value, i) => sum + params[o * inputs + i] * value,
            params[outputs * inputs + o],
          ),
        );
        const top = Math.max(...logits);
        const raised = logits.map((logit) => Math.exp(logit - top));
        const total = raised.reduce((a, b) => a + b, 0);
        loss += Math.log(total) + top - logits[y[n]];
        raised.forEach((value, o) => {
          const error = value / total - (o === y[n] ? 1 : 0);
          row.forEach((input, i) => (grad[o * inputs + i] += (error * input) / x.length));
          grad[outputs * inputs + o] += error / x.length;
        });
      });
      return Promise.resolve({ loss: loss / x.length, grad: Float32Array.from(grad) });
    },
  };
}

/** A number close to another, relatively. */
export function relativeError(actual: number, expected: number): number {
  return actual === expected ? 0 : Math.abs(actual - expected) / Math.abs(expected);
}
