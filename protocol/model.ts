/** What is trained: tensors, models, data contracts, tasks. Shared by every peer. */
import { z } from 'zod';

/** Names become file names, columns and URL segments somewhere: keep them plain. */
export const plainName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'use 1 to 64 letters, digits, dots, dashes or underscores',
  );
export const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'use 64 lower-case hex digits');

/**
 * `shared` tensors are aggregated by the rule; `buffer` tensors (batch-norm statistics) are averaged
 * by examples; `local` tensors stay on the client; `frozen` tensors never change.
 */
export const tensorRole = z.enum(['shared', 'buffer', 'local', 'frozen']);
export const tensorSpec = z.strictObject({
  name: z.string().min(1).max(256),
  shape: z.array(z.int().nonnegative()).max(8),
  dtype: z.literal('float32').default('float32'),
  role: tensorRole.default('shared'),
});
export type TensorSpec = z.infer<typeof tensorSpec>;

/** Elements of a tensor; 1 for a scalar. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export const modelSpec = z.strictObject({
  /** `opaque`: only the clients know what the tensors mean (a PyTorch model, say). */
  format: z.enum(['tfjs-layers', 'opaque']),
  /** For `tfjs-layers`, the layers JSON; for `opaque`, whatever the clients agree on. */
  body: z.json(),
  tensors: z
    .array(tensorSpec)
    .min(1)
    .refine(
      (tensors) => new Set(tensors.map((t) => t.name)).size === tensors.length,
      'tensor names must differ',
    )
    .refine(
      (tensors) => tensors.some((t) => t.role === 'shared'),
      'at least one tensor must be shared',
    ),
});
export type ModelSpec = z.infer<typeof modelSpec>;

/** What a client's data must look like. Checked by `tributary join --check` before the first round. */
export const dataContract = z.strictObject({
  features: z.strictObject({
    /** Shape of one example, without the batch dimension. */
    shape: z.array(z.int().positive()).min(1).max(6),
    /** For tables: the columns in order, as many as the shape has elements. */
    columns: z.array(z.string()).optional(),
    min: z.number().optional(),
    max: z.number().optional(),
  }),
  labels: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('class'),
      classes: z.int().min(2),
      column: z.string().optional(),
    }),
    z.strictObject({ kind: z.literal('value'), column: z.string().optional() }),
  ]),
  minExamples: z.int().positive().default(1),
});
export type DataContract = z.infer<typeof dataContract>;

/** Losses known to the TF.js trainer and oracle; for `opaque` models only a word. */
export const lossName = z.enum([
  'categoricalCrossentropy',
  'binaryCrossentropy',
  'meanSquaredError',
]);
export type LossName = z.infer<typeof lossName>;

export const task = z.strictObject({
  name: plainName,
  model: modelSpec,
  data: dataContract,
  loss: lossName.default('categoricalCrossentropy'),
  /** Metric sums that clients report in evaluation, beside `loss`. */
  metrics: z.array(plainName).default(['accuracy']),
});
export type Task = z.infer<typeof task>;

/**
 * What may be said of local training. No defaults here: what a run says for one role would otherwise
 * reset everything else to them.
 */
const trainingShape = {
  epochs: z.int().positive(),
  /** Optimiser steps in place of epochs: batches go round and round, shuffled anew each time. */
  steps: z.int().positive().max(1_000_000).optional(),
  batchSize: z.int().positive(),
  learningRate: z.number().positive(),
  /** The rate of round r (counted from 1) is learningRate * decay^(r-1). */
  learningRateDecay: z.number().positive().max(1),
  momentum: z.number().min(0).max(0.999),
  /** FedProx: mu/2 |w - w_t|^2 is added to the loss. */
  proximalMu: z.number().nonnegative(),
  /** SCAFFOLD: c - c_i is added to every gradient, and the change of c_i sent back. */
  controlVariates: z.boolean().optional(),
  /** FedDyn's alpha: <-g_i, w> + alpha/2 |w - w_t|^2 is added to the loss. */
  dynamicAlpha: z.number().nonnegative().optional(),
};

/** What differs for one role. */
export const trainingOverride = z.strictObject(trainingShape).partial();

/** How a client trains in one round. */
export const trainingConfig = z.strictObject({
  ...trainingShape,
  epochs: trainingShape.epochs.default(1),
  batchSize: trainingShape.batchSize.default(32),
  learningRate: trainingShape.learningRate.default(0.05),
  learningRateDecay: trainingShape.learningRateDecay.default(1),
  momentum: trainingShape.momentum.default(0),
  proximalMu: trainingShape.proximalMu.default(0),
});
export type TrainingConfig = z.infer<typeof trainingConfig>;
