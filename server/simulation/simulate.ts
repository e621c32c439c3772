/** The loop: every seed, every rule, one run each, and what came of it. */
import { TributaryError } from '../../protocol/errors.js';
import type { Metrics } from '../../protocol/metrics.js';
import type { ExperimentResult } from './experiment.js';
import { runExperiment } from './experiment.js';
import type { Simulation } from './simulation-file.js';
import { runsOf, storyOf } from './simulation.js';
import { deviation, mean } from './statistics.js';
import type { Story, StoryRun } from './stories.js';

/** One run of one rule under one seed. */
export interface SimulatedRun {
  readonly seed: number;
  /** Metrics on the held-out data after each round that was evaluated, pooled over examples. */
  readonly rounds: readonly { readonly round: number; readonly metrics: Metrics }[];
  /** sha256 of the final checkpoint; null where training diverged. */
  readonly checkpoint: string | null;
  /** Why training diverged; null where it did not. */
  readonly diverged: string | null;
  readonly attackers: readonly string[];
  /** Share of all weight that went to attackers, mean over rounds; null where nobody attacks. */
  readonly attackerShare: number | null;
  /** Updates of attackers that admission refused. */
  readonly refused: number;
}

export interface SimulatedRuleResult {
  readonly label: string;
  readonly rule: string;
  readonly runs: readonly SimulatedRun[];
  /** Metrics after the last round, over the seeds that did not diverge. */
  readonly final: Readonly<Record<string, { readonly mean: number; readonly deviation: number }>>;
  readonly attackerShare: number | null;
}

export interface SimulationResult {
  readonly title: string;
  readonly seeds: readonly number[];
  readonly rounds: number;
  readonly rules: readonly SimulatedRuleResult[];
}

export interface SimulateOptions {
  /** Called when a run is over. */
  readonly onRun?: (label: string, run: SimulatedRun) => void;
}

/**
 * Plays a simulation: the same file gives the same bits on the same backend.
 *
 * A run whose training diverges is a result, not an error: attacks are meant to do that.
 *
 * @throws TributaryError `bad_request`, `rule_unknown`, `rule_options`, `rule_needs` for what the file
 * asks; `not_found` where the data is not on this machine.
 */
export async function simulate(
  simulation: Simulation,
  { onRun }: SimulateOptions = {},
): Promise<SimulationResult> {
  const byRule = runsOf(simulation).map((run) => ({ run, results: [] as SimulatedRun[] }));
  let title = '';
  for (const seed of simulation.seeds) {
    const story = await storyOf(simulation, seed);
    title = story.title;
    for (const { run, results } of byRule) {
      const result = await playOne(story, run);
      results.push(result);
      onRun?.(run.label, result);
    }
  }
  return {
    title,
    seeds: simulation.seeds,
    rounds: simulation.rounds,
    rules: byRule.map(({ run, results }) => summarised(run, results)),
  };
}

/** One run of a story; one that diverges has no rounds. */
export async function playOne(story: Story, run: StoryRun): Promise<SimulatedRun> {
  const attackers = [...(story.attack?.attackers ?? [])].sort();
  const common = { seed: story.common.seed, attackers };
  try {
    const result = await runExperiment(story, run);
    return {
      ...common,
      rounds: result.rounds.flatMap(({ round, evaluation }) =>
        evaluation ? [{ round: round.number, metrics: evaluation.pooled }] : [],
      ),
      checkpoint: result.rounds.at(-1)?.checkpoint?.sha256 ?? null,
      diverged: null,
      attackerShare: story.attack ? attackerShare(result, story.attack.attackers) : null,
      refused: result.refused,
    };
  } catch (error) {
    if (!isDivergence(error)) throw error;
    const nothing = { rounds: [], checkpoint: null, attackerShare: null, refused: 0 };
    return { ...common, ...nothing, diverged: error.message };
  }
}

/** A loss that is no number, or honest updates too large for a run. */
function isDivergence(error: unknown): error is TributaryError {
  return error instanceof TributaryError && ['not_finite', 'over_cap'].includes(error.code);
}

/** Weights may be negative: their sizes are compared. A round in which nobody counts gives 0. */
function attackerShare({ updates }: ExperimentResult, attackers: ReadonlySet<string>): number {
  const shares = updates.map((records) => {
    const sizes = records.map(({ clientId, update }) => ({
      size: Math.abs(update?.weight ?? 0),
      attacks: attackers.has(clientId),
    }));
    const total = sizes.reduce((sum, { size }) => sum + size, 0);
    const theirs = sizes.reduce((sum, { size, attacks }) => sum + (attacks ? size : 0), 0);
    return total === 0 ? 0 : theirs / total;
  });
  return mean(shares);
}

function summarised({ label, rule }: StoryRun, runs: readonly SimulatedRun[]): SimulatedRuleResult {
  const ended = runs.flatMap(({ rounds }) => rounds.slice(-1)).map(({ metrics }) => metrics);
  const names = [...new Set(ended.flatMap((metrics) => Object.keys(metrics)))].sort();
  const shares = runs.flatMap(({ attackerShare }) => attackerShare ?? []);
  return {
    label,
    rule: rule.name,
    runs,
    final: Object.fromEntries(
      names.map((name) => {
        const values = ended.map((metrics) => metrics[name]);
        return [name, { mean: mean(values), deviation: deviation(values) }];
      }),
    ),
    attackerShare: shares.length > 0 ? mean(shares) : null,
  };
}
