/** Evaluation reports of a cohort, by site and pooled. */
import type { Evaluation } from '../../protocol/http.js';
import type { Metrics } from '../../protocol/metrics.js';
import type { EvaluationReport } from '../../protocol/update.js';
import type { AssignmentRecord } from '../core/records.js';

/**
 * Means over examples: of each site, and of all examples as if they were one site's. A metric is
 * pooled over the sites that report it. Null where nobody reported.
 */
export function pooled(version: number, records: readonly AssignmentRecord[]): Evaluation | null {
  const reports = records.flatMap(({ clientId, report }) =>
    report ? [{ clientId, ...report }] : [],
  );
  if (reports.length === 0) return null;
  const names = [...new Set(reports.flatMap(({ sums }) => Object.keys(sums)))].sort();
  const mean = (name: string): number => {
    const having = reports.filter(({ sums }) => Object.hasOwn(sums, name));
    const total = having.reduce((sum, { sums }) => sum + sums[name], 0);
    return total / having.reduce((sum, { numExamples }) => sum + numExamples, 0);
  };
  return {
    version,
    numExamples: reports.reduce((sum, { numExamples }) => sum + numExamples, 0),
    pooled: Object.fromEntries(names.map((name) => [name, mean(name)])),
    sites: Object.fromEntries(
      reports.map((report) => [
        report.clientId,
        { numExamples: report.numExamples, metrics: meansOf(report) },
      ]),
    ),
  };
}

/** Means over the examples of a report. */
export function meansOf({ numExamples, sums }: EvaluationReport): Metrics {
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / numExamples]));
}
