/** What `tributary benchmark heart` does. */
import { TributaryError } from '../../../protocol/errors.js';
import { loadHeart } from '../../simulation/heart.js';
import type { HeartScores } from '../../simulation/heart-benchmark.js';
import {
  constantScores,
  heartRuns,
  heartScores,
  heartSizes,
  heartStory,
} from '../../simulation/heart-benchmark.js';
import { prepareCommonBackend } from '../backend.js';
import type { BenchmarkOptions } from '../benchmark.js';
import { note } from '../note.js';
import { wholeNumber } from '../options.js';
import { print, table } from '../output.js';
import { meanAndDeviation } from '../spread.js';

interface HeartRow {
  readonly label: string;
  /** By seed; one for the constant, which has none. */
  readonly scores: readonly HeartScores[];
}

interface HeartResult {
  readonly seeds: number;
  readonly rounds: number;
  readonly backend: { readonly name: string; readonly version: string };
  readonly rules: readonly HeartRow[];
  readonly constant: HeartRow;
}

export async function benchmarkHeart({ seeds, quick, json }: BenchmarkOptions): Promise<void> {
  const count = quick ? 1 : wholeNumber(seeds, '--seeds');
  if (count < 1) throw new TributaryError('bad_request', '--seeds: give 1 or more');
  const sizes = quick ? { rounds: 2, steps: 10 } : heartSizes;
  const centres = await loadHeart();
  const backend = await prepareCommonBackend();
  const rows = heartRuns.map(({ label }) => ({ label, scores: [] as HeartScores[] }));
  for (let seed = 0; seed < count; seed++) {
    const story = await heartStory(centres, seed, sizes);
    for (const [i, run] of heartRuns.entries()) {
      note(`${run.label}, seed ${seed}`);
      rows[i].scores.push(await heartScores(story, run, centres));
    }
  }
  note('');
  const constant = { label: 'constant', scores: [constantScores(centres)] };
  const result = { seeds: count, rounds: sizes.rounds, backend, rules: rows, constant };
  print(result, json, rendered);
}

function rendered({ seeds, rounds, rules, constant, backend }: HeartResult): string {
  const names = constant.scores[0].centres.map(({ name }) => name);
  const accuracy = [...rules, constant].map(({ label, scores }) => [
    label,
    ...names.map((_, i) => meanAndDeviation(scores.map(({ centres }) => centres[i].accuracy))),
    meanAndDeviation(scores.map(({ unweighted }) => unweighted)),
    meanAndDeviation(scores.map(({ weighted }) => weighted)),
  ]);
  const auc = rules.map(({ label, scores }) => [
    label,
    ...names.map((_, i) => meanAndDeviation(scores.flatMap(({ centres }) => centres[i].auc ?? []))),
    meanAndDeviation(scores.flatMap((score) => score.auc ?? [])),
  ]);
  return [
    `heart disease, four hospitals, ${rounds} rounds: accuracy at 0.5, in per cent`,
    table(['rule', ...names, 'mean', 'weighted'], accuracy),
    '(mean: over the hospitals; weighted: over all test patients; constant: the',
    "majority of each hospital's own training patients)",
    '',
    'area under the ROC curve, in per cent',
    table(['rule', ...names, 'mean'], auc),
    `${seeds} seeds from 0, mean±standard deviation; ${backend.name} ${backend.version}`,
  ].join('\n');
}
