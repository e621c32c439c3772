/** One round as text: who was invited, receipts and weights, diagnostics, evaluation. */
import type { Evaluation, RoundDetail } from '../../../protocol/http.js';
import { table } from '../output.js';

export function roundShown(round: RoundDetail): string {
  const rows = round.updates.map((u) => [
    u.clientId,
    u.role,
    u.kind,
    u.state,
    u.numExamples ?? '',
    u.norm?.toPrecision(4) ?? '',
    u.weight?.toFixed(6) ?? '',
    // Eight digits, where checkpoints show twelve: the line must fit 80 columns.
    u.receipt?.sha256.slice(0, 8) ?? '',
  ]);
  const refusals = round.updates.flatMap(({ clientId, kind, receipt }) =>
    receipt?.code ? [`${clientId}, ${kind}: ${receipt.status} (${receipt.code})`] : [],
  );
  const flags = round.updates.flatMap((update) =>
    update.flags.map((flag) => `${update.clientId} ${flag}`),
  );
  const diagnostics = Object.entries(round.diagnostics).map(
    ([name, value]) => `${name} ${value.toPrecision(6)}`,
  );
  return [
    `round ${round.round}, try ${round.attempt}: ${round.phase}${round.reason ? ` (${round.reason})` : ''}`,
    table(['client', 'role', 'kind', 'state', 'examples', 'norm', 'weight', 'update'], rows),
    ...refusals,
    ...flags,
    ...diagnostics,
    ...(round.evaluation ? ['', evaluationShown(round.evaluation)] : []),
  ].join('\n');
}

function evaluationShown({ version, numExamples, pooled, sites }: Evaluation): string {
  const names = Object.keys(pooled);
  // A site may lack a metric that others report.
  const cells = (metrics: Readonly<Partial<Record<string, number>>>): string[] =>
    names.map((name) => metrics[name]?.toPrecision(5) ?? '');
  const rows = Object.entries(sites).map(([site, { numExamples: count, metrics }]) => [
    site,
    count,
    ...cells(metrics),
  ]);
  return [
    `model ${version}, evaluated`,
    table(['site', 'examples', ...names], [...rows, ['pooled', numExamples, ...cells(pooled)]]),
  ].join('\n');
}
