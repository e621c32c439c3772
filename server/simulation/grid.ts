/**
 * The grid: every robust rule under every attack, one fifth of the clients attacking, and what each
 * rule's paper claims. Cells are plain data, so that several processes can share them out.
 */
import { claims, claimsToWithstand } from '../core/rules/robust/claims.js';
import { attacks as registry } from './attacks/index.js';
import type { SimulatedRun } from './simulate.js';
import { playOne } from './simulate.js';
import type { SimulationInput } from './simulation-file.js';
import { simulationFile } from './simulation-file.js';
import { storyOf } from './simulation.js';
import { deviation, mean } from './statistics.js';

/** One run. */
export interface GridTask {
  readonly rule: string;
  /** Null for the rule without an attack. */
  readonly attack: string | null;
  readonly seed: number;
  readonly rounds: number;
  /** Label skew, Dirichlet(alpha); null for equal shares. */
  readonly alpha: number | null;
}

export interface GridSize {
  readonly rules: readonly string[];
  readonly attacks: readonly string[];
  readonly seeds: readonly number[];
  readonly rounds: number;
  readonly alpha: number | null;
}

/** Points of accuracy that a rule may lose to an attack and still be said to hold. */
export const TOLERATED = 0.1;

/** 20 clients, 4 of which attack: Bulyan needs n >= 4f + 3. */
const CLIENTS = 20;
const SHARE = 0.2;

/**
 * Every rule as its paper has it, told the true share of attackers, but for what has to fit the task:
 * norm-bound's C is the length of an honest update here (.4 to .6), centered-clipping takes its tau
 * from the round and three iterations, and FLTrust makes enough steps on its root data for an update
 * of that length.
 */
const rules: Readonly<Record<string, Readonly<Record<string, number | string>>>> = {
  fedavg: {},
  median: { attackers: SHARE },
  'trimmed-mean': { beta: SHARE },
  krum: { attackers: SHARE },
  'multi-krum': { attackers: SHARE },
  bulyan: { attackers: SHARE },
  'geometric-median': { attackers: SHARE },
  'centered-clipping': { attackers: SHARE, tau: 'median', iterations: 3 },
  'norm-bound': { C: 0.5 },
  'clipped-clustering': { attackers: SHARE },
  signguard: { attackers: SHARE },
  dnc: { attackers: SHARE },
  fltrust: { learningRate: 0.1, epochs: 10 },
};

export const fullGrid: GridSize = {
  rules: Object.keys(rules),
  attacks: [...registry.keys()],
  seeds: [1],
  rounds: 10,
  alpha: null,
};

/** Only whether it runs. */
export const quickGrid: GridSize = {
  rules: ['fedavg', 'median', 'krum'],
  attacks: ['sign-flip', 'alie'],
  seeds: [1],
  rounds: 2,
  alpha: null,
};

export function gridTasks({ rules, attacks, seeds, rounds, alpha }: GridSize): GridTask[] {
  return [null, ...attacks].flatMap((attack) =>
    rules.flatMap((rule) => seeds.map((seed) => ({ rule, attack, seed, rounds, alpha }))),
  );
}

/** What `tributary simulate` would be given for the same run. */
export function gridSimulation({ rule, attack, seed, rounds, alpha }: GridTask): SimulationInput {
  return {
    task: 'small-digits',
    clients: CLIENTS,
    partition: alpha === null ? { kind: 'iid' } : { kind: 'dirichlet', alpha },
    attack: attack === null ? null : { kind: attack, share: SHARE },
    rule: { name: rule, options: rules[rule] },
    training: { batchSize: 32, learningRate: 0.1 },
    rounds,
    seeds: [seed],
    proxy: 200,
    evaluateEvery: rounds,
    caps: { deltaMax: 2 ** 20 },
  };
}

/** @throws TributaryError as `simulate` does. */
export async function playGridTask(task: GridTask): Promise<SimulatedRun> {
  const story = await storyOf(simulationFile.parse(gridSimulation(task)), task.seed);
  return playOne(story, story.runs[0]);
}

/** One rule under one attack, over the seeds. */
export interface GridCell {
  readonly attack: string | null;
  /** Final accuracy; a run that diverged counts as 0. */
  readonly accuracy: number;
  readonly deviation: number;
  readonly diverged: number;
  /** Share of the weight that attackers were given; null without an attack. */
  readonly attackerShare: number | null;
  /** Updates of attackers that admission refused. */
  readonly refused: number;
  /** Whether the rule's paper claims to withstand the attack. */
  readonly claimed: boolean;
  /** Whether the rule stays within {@link TOLERATED} of its accuracy without an attack. */
  readonly holds: boolean;
}

export interface GridRow {
  readonly rule: string;
  readonly cells: readonly GridCell[];
  /** What exactly its paper claims; null for a rule that claims nothing. */
  readonly scope: string | null;
}

export interface GridResult extends GridSize {
  readonly rows: readonly GridRow[];
}

/** @param runs of `gridTasks(size)`, in that order. */
export function gridResult(size: GridSize, runs: readonly SimulatedRun[]): GridResult {
  const tasks = gridTasks(size);
  const runsOf = (rule: string, attack: string | null): SimulatedRun[] =>
    runs.filter((_, i) => tasks[i].rule === rule && tasks[i].attack === attack);
  const rows = size.rules.map((rule) => {
    const clean = accuracyOf(runsOf(rule, null));
    const cells = [null, ...size.attacks].map((attack) =>
      cellOf(rule, attack, runsOf(rule, attack), mean(clean)),
    );
    return { rule, cells, scope: claims[rule]?.scope ?? null };
  });
  return { ...size, rows };
}

function cellOf(
  rule: string,
  attack: string | null,
  runs: readonly SimulatedRun[],
  clean: number,
): GridCell {
  const accuracy = accuracyOf(runs);
  const shares = runs.flatMap(({ attackerShare }) => attackerShare ?? []);
  return {
    attack,
    accuracy: mean(accuracy),
    deviation: deviation(accuracy),
    diverged: runs.filter(({ diverged }) => diverged !== null).length,
    attackerShare: shares.length > 0 ? mean(shares) : null,
    refused: runs.reduce((sum, { refused }) => sum + refused, 0),
    claimed: attack !== null && claimsToWithstand(rule, attack),
    // Exactly ten points less is not more than ten.
    holds: mean(accuracy) >= clean - TOLERATED - 1e-9,
  };
}

function accuracyOf(runs: readonly SimulatedRun[]): number[] {
  return runs.map(({ rounds }) => rounds.at(-1)?.metrics.accuracy ?? 0);
}
