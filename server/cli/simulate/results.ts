/** Results of a simulation as a table of 80 columns. */
import type { SimulatedRuleResult, SimulationResult } from '../../simulation/simulate.js';
import { deviation, mean } from '../../simulation/statistics.js';
import { table } from '../output.js';

/** At most so many rounds are shown; the last is always among them. */
const COLUMNS = 3;
/** With the columns of numbers, a line keeps within 80. */
const LABEL = 22;

export function simulated(result: SimulationResult): string {
  const { title, seeds, rules } = result;
  const metric = rules.some(({ final }) => 'accuracy' in final) ? 'accuracy' : 'loss';
  const scale = metric === 'accuracy' ? 100 : 1;
  const at = shownRounds(rules);
  const attacked = rules.some(({ attackerShare }) => attackerShare !== null);
  const head = ['rule', ...at.map((round) => `round ${round}`), ...(attacked ? ['attackers'] : [])];
  const rows = rules.map((rule) => [
    clipped(rule.label),
    ...at.map((round) => cellOf(rule, round, metric, scale)),
    ...(attacked ? [share(rule)] : []),
  ]);
  return [
    title,
    table(head, rows),
    `${metric}${scale === 100 ? ' in per cent' : ''}, ${seedsInWords(seeds.length)}`,
    ...(attacked ? ['attackers: share of the weight that they were given, mean over rounds'] : []),
    ...rules.flatMap(remarks),
  ].join('\n');
}

/** Evenly over those that were evaluated. */
function shownRounds(rules: readonly SimulatedRuleResult[]): number[] {
  const evaluated = rules
    .flatMap(({ runs }) => runs)
    .map(({ rounds }) => rounds.map(({ round }) => round))
    .reduce((longest, rounds) => (rounds.length > longest.length ? rounds : longest), []);
  const count = Math.min(COLUMNS, evaluated.length);
  return Array.from(
    { length: count },
    (_, k) => evaluated[Math.ceil(((k + 1) * evaluated.length) / count) - 1],
  );
}

function cellOf({ runs }: SimulatedRuleResult, at: number, metric: string, scale: number): string {
  const values = runs
    .flatMap(({ rounds }) => rounds.filter(({ round }) => round === at))
    .flatMap(({ metrics }) => (metric in metrics ? [scale * metrics[metric]] : []));
  if (values.length === 0) return 'diverged';
  const digits = scale === 100 ? 2 : 4;
  const centre = mean(values).toFixed(digits);
  return values.length < 2 ? centre : `${centre} ± ${deviation(values).toFixed(digits)}`;
}

function share({ attackerShare }: SimulatedRuleResult): string {
  return attackerShare === null ? '' : `${(100 * attackerShare).toFixed(1)}%`;
}

function remarks({ label: whole, runs }: SimulatedRuleResult): string[] {
  const label = clipped(whole);
  const lost = runs.filter(({ diverged }) => diverged !== null).map(({ seed }) => seed);
  const refused = runs.reduce((sum, run) => sum + run.refused, 0);
  return [
    ...(lost.length > 0 ? [`${label} diverged with seed ${lost.join(', ')}`] : []),
    ...(refused > 0 ? [`${label}: admission refused ${refused} updates of attackers`] : []),
  ];
}

function clipped(label: string): string {
  return label.length <= LABEL ? label : `${label.slice(0, LABEL - 1)}…`;
}

function seedsInWords(count: number): string {
  return count === 1 ? 'one seed' : `mean ± standard deviation over ${count} seeds`;
}
