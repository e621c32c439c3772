/** From a simulation to the story of each seed, which `runExperiment` plays. */
import { TributaryError } from '../../protocol/errors.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { randomStream, shuffled } from '../core/random.js';
import { composedRule } from '../engine/run-rule.js';
import { bindAttack } from './attacks/attack.js';
import { findAttack } from './attacks/index.js';
import { problemOf } from './problems.js';
import type { SimulatedRule, Simulation } from './simulation-file.js';
import type { Story, StoryAttack, StoryClient, StoryRun } from './stories.js';

/** Above what any attack sends before a model is lost anyway; 2^20 is the most that a run takes. */
const DELTA_MAX = 2 ** 20;

/** The rules of a simulation, in order. @throws TributaryError `bad_request` where two look alike. */
export function runsOf(simulation: Simulation): readonly StoryRun[] {
  const rules = simulation.rules ?? (simulation.rule ? [simulation.rule] : []);
  const runs = rules.map((rule) => storyRun(rule, simulation));
  const labels = new Set<string>();
  for (const { label } of runs) {
    if (labels.has(label)) refuse(`two rules are called "${label}": give each a "label"`);
    labels.add(label);
  }
  return runs;
}

/**
 * Everything that the engine would refuse later is asked now, before anything is computed.
 * @throws TributaryError `rule_unknown`, `rule_options`, `rule_needs`.
 */
function storyRun(given: SimulatedRule, { proxy, partition: { kind } }: Simulation): StoryRun {
  const { label, optimizer, after, training, ...rule } = given;
  const spec = { rule, optimizer: optimizer ?? { name: 'sgd', options: {} }, after };
  const { needs } = composedRule(spec);
  const lacks = (why: string): never => {
    throw new TributaryError('rule_needs', `the rule "${rule.name}" needs ${why}`);
  };
  if (needs.oracle && proxy === 0)
    lacks('an oracle: give the simulation a "proxy", 200 for digits');
  if (needs.target && kind !== 'turned') lacks('a target: use the partition "turned"');
  return {
    label: label ?? [rule.name, ...(optimizer ? [optimizer.name] : [])].join('+'),
    rule,
    usesProxy: needs.oracle ?? false,
    ...(optimizer && { optimizer }),
    after,
    training,
  };
}

/** The story of one seed: data, split, attackers, initial model and training all follow from it. */
export async function storyOf(simulation: Simulation, seed: number): Promise<Story> {
  const { task, dealt } = await problemOf(simulation, seed);
  const attacked = attackOf(simulation, dealt.clients, seed, classesOf(task.data.labels));
  return {
    ...dealt,
    title: simulation.title ?? titleOf(simulation),
    task,
    attack: attacked,
    common: {
      ...commonOf(simulation, dealt.clients.length, attacked?.attackers.size ?? 0),
      seed,
    },
    runs: runsOf(simulation),
  };
}

function commonOf(
  { training, trainingByRole, rounds, cohort, evaluateEvery, caps: given }: Simulation,
  clients: number,
  attackers: number,
): Omit<Story['common'], 'seed'> {
  const size = cohort === 'all' ? clients : cohort;
  if (size > clients) refuse(`cohort: there are ${clients} clients, not ${size}`);
  return {
    training,
    trainingByRole,
    rounds,
    evaluateEvery,
    // The same clients count each time, whichever of them is faster today.
    cohort: { size, overSelection: 1, waitMs: 60_000 },
    // Everybody but attackers whose updates were refused: that must not end the run.
    quorum: { min: Math.max(1, size - attackers), share: 0 },
    caps: { cohortMax: clients, ...(attackers > 0 && { deltaMax: DELTA_MAX }), ...given },
  } satisfies Partial<RunSpecInput>;
}

function attackOf(
  { attack: given }: Simulation,
  clients: readonly StoryClient[],
  seed: number,
  classes: number,
): StoryAttack | null {
  if (!given) return null;
  const { kind, share, ...parameters } = given;
  const sources = clients.filter(({ role }) => role === 'source').map(({ name }) => name);
  const count = Math.round(share * clients.length);
  if (count < 1 || count >= sources.length) {
    refuse(`attack.share: ${share} makes ${count} of ${clients.length} clients attackers`);
  }
  const attackers = shuffled(sources, randomStream(seed, 'attackers')).slice(0, count);
  return {
    attack: bindAttack(findAttack(kind), parameters, classes),
    attackers: new Set(attackers),
  };
}

function classesOf(labels: Story['task']['data']['labels']): number {
  return labels.kind === 'class' ? labels.classes : 0;
}

function titleOf({ task, clients, partition: split, attack: given }: Simulation): string {
  const alpha = split.kind === 'dirichlet' ? `(${split.alpha})` : '';
  const who = split.kind === 'natural' ? 'its own clients' : `${clients} clients`;
  const harm = given ? `, ${Math.round(100 * given.share)}% attackers (${given.kind})` : '';
  return `${task}, ${who}, ${split.kind}${alpha}${harm}`;
}

function refuse(problem: string): never {
  throw new TributaryError('bad_request', `simulation: ${problem}`);
}
