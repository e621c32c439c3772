/**
 * Whether an upload may count. All checks happen before its receipt: what is accepted can be folded
 * without looking again. A check that fails throws a TributaryError that names what is wrong.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { ReportedFacts } from '../../protocol/update.js';
import { countedExamples } from './admission/counts.js';
import type { FoldScale } from './kernels/kernels.js';
import type { Needs } from './rules/rule.js';

export { countFlags, countedExamples } from './admission/counts.js';
export { checkMeasure, isMeasure } from './admission/measure.js';
export { VectorScan } from './admission/scan.js';
export { checkTensors, maxUpdateBytes } from './admission/tensors.js';

/** Examples that one update may report: buffers are averaged by them, in the exact fold. */
export const MAX_EXAMPLES = 134_217_728;

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
  if (countedExamples(reported.numExamples, examplesMax) > MAX_EXAMPLES) {
    const message = `numExamples is ${reported.numExamples}, over the cap of ${MAX_EXAMPLES}`;
    throw new TributaryError('over_cap', message);
  }
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
