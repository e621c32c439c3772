/** Updates and receipts: what a client sends back, and what it is answered. */
import { z } from 'zod';
import { errorBody } from './errors.js';
import { metrics } from './metrics.js';
import { sha256Hex } from './model.js';

/**
 * What an update says of itself. Travels in the safetensors metadata under {@link UPDATE_METADATA},
 * so that the upload's sha256 covers it and "same hash" means "same update".
 *
 * Reserved metrics: `lossBefore` (mean loss of the received model on the client's data, F_i of the
 * literature), `loss` (mean training loss), `learningRate` (the step size that was used).
 */
export const updateFacts = z.strictObject({
  /** Binds the bytes to one assignment: no two updates ever share a hash or a blob. */
  assignmentId: z.string(),
  numExamples: z.int().positive(),
  numSteps: z.int().positive(),
  metrics: metrics.default({}),
});
export type ReportedFacts = z.infer<typeof updateFacts>;

export const UPDATE_METADATA = 'tributary.update';

/** The trained minus the received model; the vector that every update has. */
export const DELTA = 'delta';

/** Name in the file of one tensor of one vector: `delta/dense/kernel`, `batch.3/dense/kernel`. */
export function tensorKey(vector: string, tensor: string): string {
  return `${vector}/${tensor}`;
}

/** Whether a vector may have this name: it must be told from the tensor's in a {@link tensorKey}. */
export function isVectorName(name: string): boolean {
  return /^[A-Za-z0-9_.-]+$/.test(name);
}

/** Name of the j-th vector of a family, e.g. the updates of a target's single batches. */
export function memberName(family: string, index: number): string {
  return `${family}.${index}`;
}

export const receiptStatus = z.enum(['accepted', 'late', 'rejected']);

/**
 * The coordinator's durable answer to one upload. Sent only after the update, and the receipt, are
 * on stable storage. The same bytes sent again get the same receipt with `duplicate: true`.
 */
export const receipt = z.object({
  assignmentId: z.string(),
  runId: z.string(),
  round: z.int(),
  clientId: z.string(),
  status: receiptStatus,
  sha256: sha256Hex,
  receivedAt: z.iso.datetime(),
  duplicate: z.boolean(),
  error: errorBody.optional(),
});
export type Receipt = z.infer<typeof receipt>;

/** What `evaluate` reports: sums over examples, so that sites can be pooled by adding. */
export const evaluationReport = z.strictObject({
  numExamples: z.int().positive(),
  /** Sum over examples of each metric, e.g. `{ loss: 41.2, accuracy: 87 }`. */
  sums: metrics,
});
export type EvaluationReport = z.infer<typeof evaluationReport>;
