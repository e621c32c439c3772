/**
 * Whether an upload may count. All checks happen before its receipt: what is accepted can be folded
 * without looking again. A check that fails throws a TributaryError that names what is wrong.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { EvaluationReport, ReportedFacts } from '../../protocol/update.js';
import { countedExamples } from './admission/counts.js';
import type { FoldScale } from './kernels/kernels.js';
import type { Needs } from './rules/rule.js';

export { countFlags, countedExamples } from './admission/counts.js';
export { checkMeasure, isMeasure } from './admission/measure.js';
export { VectorScan } from './admission/scan.js';
export { checkTensors, maxUpdateBytes } from './admission/tensors.js';

/** Examples that one update may report: buffers are averaged by them, in the exact fold. */
export const MAX_EXAMPLES = 134_217_728;

/** Greatest sum of a metric: those of all sites together stay a number. */
const MAX_SUM = 1e290;

/**
 * The facts that a client states.
 * @param examplesMax the run's cap: what is reported above it counts as so many
 * @throws TributaryError `bad_facts`; `over_cap` where more than {@link MAX_EXAMPLES} would count.
 */
export function checkReported(
  reported: ReportedFacts,
  assignmentId: string,
  examplesMax?: number,
): void {
  const bad = (message: string): never => {
    throw new TributaryError('bad_facts', message);
  };
  if (reported.assignmentId !== assignmentId) {
    bad(`the update was made for another assignment than ${assignmentId}`);
  }
  for (const name of ['numExamples', 'numSteps'] as const) {
    const count = reported[name];
    if (!Number.isSafeInteger(count) || count < 1) bad(`${name} is ${count}`);
  }
  for (const [name, value] of Object.entries(reported.metrics)) {
    if (!Number.isFinite(value)) bad(`the metric "${name}" is ${value}`);
  }
  boundedExamples(reported.numExamples, examplesMax);
}

/**
 * An evaluation as it counts. One site that claims more examples than all others have would decide
 * the pooled metrics, and with them when the run stops: above the cap it counts as so many, with its
 * own means.
 *
 * @param examplesMax the run's cap
 * @throws TributaryError `over_cap` where more than {@link MAX_EXAMPLES} would count, or a sum is too
 * great to be added to others.
 */
export function countedReport(
  { numExamples, sums }: EvaluationReport,
  examplesMax: number | undefined,
): EvaluationReport {
  const counted = boundedExamples(numExamples, examplesMax);
  const share = counted / numExamples;
  for (const [name, sum] of Object.entries(sums)) {
    if (Math.abs(sum) <= MAX_SUM) continue;
    const message = `the sum of the metric "${name}" is ${sum}, over the cap of ${MAX_SUM}`;
    throw new TributaryError('over_cap', message, { metric: name });
  }
  const scaled = Object.entries(sums).map(([name, sum]) => [name, sum * share] as const);
  return { numExamples: counted, sums: Object.fromEntries(scaled) };
}

function boundedExamples(reported: number, examplesMax: number | undefined): number {
  const counted = countedExamples(reported, examplesMax);
  if (counted <= MAX_EXAMPLES) return counted;
  const message = `numExamples is ${reported}, over the cap of ${MAX_EXAMPLES}`;
  throw new TributaryError('over_cap', message);
}

/**
 * What the rule reads from the metrics. An update without it would have no weight, and fail the round
 * of all others.
 * @throws TributaryError `bad_facts`, naming the metric.
 */
export function checkMetrics(
  { metrics }: Pick<ReportedFacts, 'metrics'>,
  { metrics: needed = [] }: Needs,
): void {
  const missing = needed.find((name) => !Object.hasOwn(metrics, name));
  if (missing === undefined) return;
  const message = `the run's rule needs the metric "${missing}": return it among the metrics of training`;
  throw new TributaryError('bad_facts', message, { metric: missing });
}

/**
 * The update against the caps that keep the exact fold from overflowing.
 * @param maxAbs greatest absolute value in any vector of the update
 * @param weight what the rule would give it in the fold; undefined for rules that do not fold
 * @throws TributaryError `over_cap`; `bad_facts` for a weight that is negative or not finite.
 */
export function checkCaps(
  maxAbs: number,
  weight: number | undefined,
  { weightMax, deltaMax }: Pick<FoldScale, 'weightMax' | 'deltaMax'>,
): void {
  if (weight !== undefined && !(Number.isFinite(weight) && weight >= 0)) {
    throw new TributaryError('bad_facts', `these facts give the update the weight ${weight}`);
  }
  const over = (what: string, value: number, cap: string): never => {
    throw new TributaryError('over_cap', `${what} is ${value}, over the run's ${cap}`);
  };
  if (!(maxAbs <= deltaMax)) {
    over('the greatest absolute value of the update', maxAbs, `caps.deltaMax of ${deltaMax}`);
  }
  if (weight !== undefined && weight > weightMax) {
    over("the update's weight", weight, `caps.weightMax of ${weightMax}`);
  }
}
