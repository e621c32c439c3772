/** What `tributary compare` does. */
import { runExperiment } from '../../simulation/experiment.js';
import { deviation, mean } from '../../simulation/statistics.js';
import type { Story, StoryRun } from '../../simulation/stories.js';
import {
  domainShift,
  domainShiftControls,
  labelSkew,
  labelSkewControls,
} from '../../simulation/stories.js';
import { prepareCommonBackend } from '../backend.js';
import type { CompareOptions } from '../compare.js';
import { note } from '../note.js';
import { print, table } from '../output.js';
import { wholeNumber } from '../options.js';

interface Setting {
  readonly title: string;
  /** Rounds whose accuracy is reported. */
  readonly at: readonly number[];
  readonly story: (seed: number) => Promise<Story>;
  /** Rows beside the story's own. */
  readonly controls: readonly StoryRun[];
}

interface Row {
  readonly rule: string;
  /** By seed: accuracy at each reported round. */
  readonly accuracy: readonly (readonly number[])[];
}

interface Comparison {
  readonly title: string;
  readonly at: readonly number[];
  readonly rows: readonly Row[];
}

/** Clients of the label-skew comparison. */
const CLIENTS = 10;

function settings(quick: boolean): Setting[] {
  const rounds = quick ? 2 : 10;
  const at = quick ? [2] : [1, 3, 5, 10];
  return [
    {
      title: `Label skew: MLP 784-64-10, ${CLIENTS} clients, Dirichlet(0.1)`,
      at,
      story: (seed) => labelSkew(seed, rounds, CLIENTS),
      controls: labelSkewControls,
    },
    {
      title: 'Domain shift: 5 upright sources of 800, 1 target with 100 turned by 45 degrees',
      at,
      story: (seed) => domainShift(seed, rounds),
      controls: domainShiftControls,
    },
  ];
}

export async function compare(options: CompareOptions): Promise<void> {
  const seeds = options.quick ? 1 : wholeNumber(options.seeds, '--seeds');
  const backend = await prepareCommonBackend();
  const comparisons: Comparison[] = [];
  for (const setting of settings(options.quick ?? false)) {
    comparisons.push(await compareOn(setting, seeds));
    if (!options.json) process.stdout.write(`${rendered(comparisons.at(-1)!)}\n\n`);
  }
  if (options.json) print({ backend, seeds, comparisons }, true, String);
  else
    process.stdout.write(
      `${seeds} seeds, ${backend.name} ${backend.version}: mean ± standard deviation\n`,
    );
}

async function compareOn(
  { title, at, story: storyOf, controls }: Setting,
  seeds: number,
): Promise<Comparison> {
  const byRule = new Map<string, number[][]>();
  for (let seed = 1; seed <= seeds; seed++) {
    const story = await storyOf(seed);
    for (const run of [...story.runs, ...controls]) {
      const { accuracy } = await runExperiment(story, run);
      const rows = byRule.get(run.label) ?? [];
      byRule.set(run.label, [...rows, at.map((round) => accuracy[round - 1])]);
      note(`${run.label}, seed ${seed}: ${accuracy.at(-1)?.toFixed(4) ?? '-'}`);
    }
  }
  return { title, at, rows: [...byRule].map(([rule, accuracy]) => ({ rule, accuracy })) };
}

function rendered({ title, at, rows }: Comparison): string {
  note('');
  const head = ['rule', ...at.map((round) => `round ${round}`)];
  const cells = rows.map(({ rule, accuracy }) => [
    rule,
    ...at.map((_, i) => meanAndDeviation(accuracy.map((bySeed) => bySeed[i]))),
  ]);
  return `${title}\n${table(head, cells)}`;
}

function meanAndDeviation(values: readonly number[]): string {
  const centre = (100 * mean(values)).toFixed(2);
  return values.length < 2 ? centre : `${centre} ± ${(100 * deviation(values)).toFixed(2)}`;
}
