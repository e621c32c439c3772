/** Runs as text: the list, one run, and what `run create` answers. */
import type { Enrolled, RoundSummary, RunDetail, RunSummary } from '../../../protocol/http.js';
import { MAX_PAGE } from '../../../protocol/http.js';
import { bytes, sparkline, table } from '../output.js';

export function created(run: RunSummary & { readonly clients: readonly Enrolled[] }): string {
  return [
    `run ${run.id}`,
    ...run.clients.map((c) => `  ${c.clientId} (${c.role})  ${c.token}`),
    ...(run.clients.length > 0 ? ['Each token is shown only this once.'] : []),
    ...(run.clients.some(({ state }) => state === 'pending')
      ? [`The sites wait for approval: tributary site approve ${run.id} NAME`]
      : []),
  ].join('\n');
}

export function listed(runs: readonly RunSummary[]): string {
  if (runs.length === 0) return 'no runs yet: create one with "tributary run create FILE"';
  const rows = runs.map((r) => [
    r.id,
    r.rule,
    r.status,
    `${r.round}/${r.rounds}`,
    r.createdAt.slice(0, 16).replace('T', ' '),
  ]);
  return table(['run', 'rule', 'status', 'round', 'created (UTC)'], rows);
}

export function shown(run: RunDetail): string {
  const { spec } = run;
  const committed = run.history.filter((round) => round.evaluation);
  const accuracy = committed
    .map((round) => round.evaluation!.pooled.accuracy)
    .filter(Number.isFinite);
  return [
    `run ${run.id}: ${spec.task.name} under ${run.rule}, seed ${spec.seed}`,
    ...(spec.rule.module ? [`the rule is the module ${spec.rule.module.slice(0, 12)}`] : []),
    `${run.status}${run.reason ? ` (${run.reason})` : ''}${doing(run)}`,
    ...(accuracy.length > 0
      ? [`accuracy ${sparkline(accuracy)} ${accuracy.at(-1)!.toFixed(4)}`]
      : []),
    '',
    ...othersShown(run),
    table(
      ['round', 'try', 'phase', 'invited', 'accepted', 'bytes', 'accuracy', 'checkpoint'],
      run.history.map(roundRow),
    ),
    ...run.history
      .filter((round) => round.reason)
      .map((round) => `round ${round.round}, try ${round.attempt}: ${round.reason!}`),
    '',
    table(
      ['client', 'role', 'state', 'present', 'computes with'],
      run.clients.map((c) => [
        ...[c.id, c.role, c.state],
        ...[c.present ? 'yes' : 'no', c.backends.join(', ')],
      ]),
    ),
  ].join('\n');
}

/** What the page leaves out, and how to see the part beside it. */
function othersShown({ id, history, historyFrom, roundsInAll }: RunDetail): string[] {
  const earlier = Math.min(historyFrom - 1, roundsInAll);
  const later = roundsInAll - earlier - history.length;
  if (earlier + later === 0) return [];
  const counts = [`${earlier} earlier`, `${later} later`].filter((text) => !text.startsWith('0 '));
  const what = earlier + later === 1 ? 'round is' : 'rounds are';
  const from = earlier > 0 ? Math.max(1, earlier - MAX_PAGE + 1) : history.length + 1;
  const how = `tributary run show ${id} --from ${from}`;
  return [`${counts.join(' and ')} ${what} not shown: ${how}`, ''];
}

function roundRow(round: RoundSummary): (string | number)[] {
  const accuracy = round.evaluation?.pooled.accuracy;
  return [
    round.round,
    round.attempt,
    round.phase,
    round.invited,
    round.accepted,
    bytes(round.bytes),
    accuracy === undefined ? '' : accuracy.toFixed(4),
    round.checkpointSha256?.slice(0, 12) ?? '',
  ];
}

/** What it does at the moment, where its status does not say so already. */
function doing({ status, now }: Pick<RunDetail, 'status' | 'now'>): string {
  return now === status ? '' : `: ${now}`;
}
