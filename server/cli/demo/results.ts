/** The table that the demonstration ends with. */
import type { RoundDetail, RunDetail } from '../../../protocol/http.js';
import { bytes, sparkline, table } from '../output.js';
import type { Story, StoryRun } from '../../simulation/stories.js';

export interface RunResult {
  readonly run: StoryRun;
  readonly detail: RunDetail;
  /** The last committed round, with its updates. */
  readonly last: RoundDetail;
}

interface Curve {
  readonly accuracy: readonly number[];
  readonly gamma: readonly number[];
  readonly bytes: number;
}

function curveOf({ detail }: RunResult): Curve {
  const committed = detail.history.filter((round) => round.version !== null);
  return {
    accuracy: committed.flatMap((round) => round.evaluation?.pooled.accuracy ?? []),
    gamma: committed.flatMap(({ diagnostics }) =>
      'gamma' in diagnostics ? [diagnostics.gamma] : [],
    ),
    bytes: committed.reduce((sum, round) => sum + round.bytes, 0),
  };
}

export function renderResults(story: Story, results: readonly RunResult[]): string {
  const curves = results.map(curveOf);
  const all = curves.flatMap((curve) => curve.accuracy);
  const range = [Math.min(...all), Math.max(...all)] as const;
  const rows = results.map(({ run, last }, i) => [
    run.label,
    sparkline(curves[i].accuracy, range),
    finalAccuracy(curves[i]).toFixed(4),
    bytes(curves[i].bytes),
    last.checkpointSha256?.slice(0, 12) ?? '',
  ]);
  return [
    table(['rule', 'accuracy by round', 'final', 'uploaded', 'checkpoint'], rows),
    `(bars from ${range[0].toFixed(2)} to ${range[1].toFixed(2)}, on ${story.test.size} held-out digits)`,
    '',
    renderWeights(story, results),
    ...curves.flatMap((curve, i) => renderGamma(results[i].run.label, curve)),
  ].join('\n');
}

export function finalAccuracy({ accuracy }: Pick<Curve, 'accuracy'>): number {
  return accuracy.at(-1) ?? NaN;
}

/** Each client's share of the data beside the weight that each rule gave it in the last round. */
function renderWeights(story: Story, results: readonly RunResult[]): string {
  const total = story.clients.reduce((sum, { data }) => sum + data.size, 0);
  const weightOf = ({ last }: RunResult, name: string): string =>
    last.updates.find((u) => u.clientId === name && u.kind === 'train')?.weight?.toFixed(4) ?? '';
  const rows = story.clients.map(({ name, data }) => [
    name,
    String(data.size),
    (data.size / total).toFixed(3),
    ...results.map((result) => weightOf(result, name)),
  ]);
  const head = ['client', 'digits', 'share', ...results.map(({ run }) => run.label)];
  return `weight given to each client in the last round\n${table(head, rows)}`;
}

function renderGamma(label: string, { gamma }: Curve): string[] {
  if (gamma.length === 0) return [];
  const values = gamma.map((value) => value.toFixed(2)).join(' ');
  return ['', `${label}: gamma by round  ${sparkline(gamma)}`, `  ${values}`];
}
