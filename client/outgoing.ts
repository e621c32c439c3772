/** The last look at what leaves the site: cut down to its policy, or held back. */
import type { TensorSpec } from '../protocol/model.js';
import type { EvaluationReport } from '../protocol/update.js';
import type { Clipped, SitePolicy } from './policy.js';
import { allowedMetrics, bytesObjection, examplesObjection, HeldBack } from './policy.js';
import type { Params, Progress, TrainResult } from './types.js';
import type { Asked } from './update.js';
import { deltaNorm, encodeUpdate } from './update.js';

export interface OutgoingUpdate {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Null where it leaves at its full length. */
  readonly clipped: Clipped | null;
}

/** @throws HeldBack where the policy says so; as {@link encodeUpdate}. */
export function outgoingUpdate(
  assignment: Asked,
  specs: readonly TensorSpec[],
  model: Params,
  result: TrainResult,
  policy: SitePolicy,
): OutgoingUpdate {
  holdBackIf(examplesObjection(result.numExamples, policy));
  const metrics = allowedMetrics(result.metrics ?? {}, policy);
  const clipped = clipping(specs, model, result, policy);
  const scale = clipped ? clipped.to / clipped.norm : 1;
  const bytes = encodeUpdate(assignment, specs, model, { ...result, metrics }, scale);
  holdBackIf(bytesObjection(bytes.byteLength, policy));
  return { bytes, clipped };
}

function clipping(
  specs: readonly TensorSpec[],
  model: Params,
  { params }: TrainResult,
  { clipNorm: to }: SitePolicy,
): Clipped | null {
  if (to === undefined) return null;
  const norm = deltaNorm(specs, model, params);
  // One NaN, and no scale would shorten the rest of it.
  if (Number.isNaN(norm)) throw new HeldBack('its norm is not a number, and cannot be clipped');
  return norm > to ? { norm, to } : null;
}

/** @throws HeldBack where the policy says so. */
export function outgoingReport(
  { numExamples, sums }: EvaluationReport,
  policy: SitePolicy,
): EvaluationReport {
  holdBackIf(examplesObjection(numExamples, policy));
  return { numExamples, sums: allowedMetrics(sums, policy) };
}

/** The training loss that progress is reported with is a metric like any other. */
export function outgoingProgress({ fraction, loss }: Progress, policy: SitePolicy): Progress {
  if (loss === undefined) return { fraction };
  return { fraction, ...allowedMetrics({ loss }, policy) };
}

function holdBackIf(objection: string | null): void {
  if (objection !== null) throw new HeldBack(objection);
}
