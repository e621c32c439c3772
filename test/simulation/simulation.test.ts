/** Simulations from their file to their results, on the real engine. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ZodError } from 'zod';
import { attacks } from '../../server/simulation/attacks/index.js';
import { taskNames } from '../../server/simulation/problems.js';
import type { SimulatedRun } from '../../server/simulation/simulate.js';
import { playOne, simulate } from '../../server/simulation/simulate.js';
import type { SimulationInput } from '../../server/simulation/simulation-file.js';
import { simulationFile } from '../../server/simulation/simulation-file.js';
import { runsOf, storyOf } from '../../server/simulation/simulation.js';

/** Ten clients with 60 small digits each: a run takes a second. */
const small = {
  task: 'small-digits',
  clients: 10,
  test: 9300,
  training: { batchSize: 20, learningRate: 0.1 },
  rounds: 2,
} as const;

const parsed = (changes: Partial<SimulationInput>) =>
  simulationFile.parse({ ...small, rule: 'fedavg', ...changes });

describe('a simulation file', () => {
  it('takes a rule by its name, with options, or several', () => {
    const labels = (changes: Partial<SimulationInput>) =>
      runsOf(simulationFile.parse({ ...small, ...changes })).map(({ label }) => label);
    expect(labels({ rule: 'median' })).toEqual(['median']);
    expect(labels({ rule: { name: 'fedavg', optimizer: 'adam' } })).toEqual(['fedavg+adam']);
    const rules = ['fedavg', { name: 'fedavg', label: 'slow', training: { learningRate: 0.001 } }];
    expect(labels({ rules })).toEqual(['fedavg', 'slow']);
  });

  it('counts seeds from 1, or takes those that are named', () => {
    expect(parsed({ seeds: 3 }).seeds).toEqual([1, 2, 3]);
    expect(parsed({ seeds: [7, 0] }).seeds).toEqual([7, 0]);
    expect(parsed({}).seeds).toEqual([1]);
  });

  it.each<[string, object, RegExp]>([
    ['neither rule nor rules', { rule: undefined }, /either \\"rule\\" or \\"rules\\"/],
    ['both rule and rules', { rules: ['median'] }, /either \\"rule\\" or \\"rules\\"/],
    ['a field that there is not', { epochs: 3 }, /epochs/],
    ['an unknown task', { task: 'letters' }, /small-digits/],
    ['a share of everybody', { attack: { kind: 'noise', share: 1 } }, /share/],
    ['an unknown training field', { training: { rate: 1 } }, /rate/],
  ])('is refused with %s', (_, changes, message) => {
    const parse = () => simulationFile.parse({ ...small, rule: 'fedavg', ...changes });
    expect(parse).toThrow(ZodError);
    expect(parse).toThrow(message);
  });

  it.each<[string, Partial<SimulationInput>, string, RegExp]>([
    ['an unknown rule', { rule: 'medain' }, 'rule_unknown', /did you mean "median"/],
    ['an unknown option', { rule: { name: 'median', options: { f: 1 } } }, 'rule_options', /f/],
    ['an oracle that is not there', { rule: 'fedlaw' }, 'rule_needs', /"proxy"/],
    ['a target that is not there', { rule: 'fedgp' }, 'rule_needs', /"turned"/],
  ])('is refused before anything is computed for %s', (_, changes, code, message) => {
    const look = () => runsOf(parsed(changes));
    expect(look).toThrow(expect.objectContaining({ code }));
    expect(look).toThrow(message);
  });

  it('has all of its fields, tasks and attacks in its documentation', () => {
    const page = readFileSync(new URL('../../docs/simulation.md', import.meta.url), 'utf8');
    const names = [...Object.keys(simulationFile.shape), ...taskNames, ...attacks.keys()];
    const missing = names.filter((name) => name !== 'title' && !page.includes(`\`${name}\``));
    expect(missing).toEqual([]);
  });

  it('is refused where two rules look alike', () => {
    const twice = simulationFile.parse({ ...small, rules: ['fedavg', 'fedavg'] });
    expect(() => runsOf(twice)).toThrow('give each a "label"');
  });
});

describe('the story of a seed', () => {
  it('has the clients, the attackers and the proxy set that the file asks for', async () => {
    const story = await storyOf(
      parsed({ attack: { kind: 'ipm', share: 0.3, epsilon: 2 }, proxy: 20 }),
      5,
    );
    expect(story.clients).toHaveLength(10);
    expect(story.test.size).toBe(9300);
    expect(story.proxy?.size).toBe(20);
    expect(story.clients.every(({ data }) => data.features.length === 196 * data.size)).toBe(true);
    const { attackers, attack } = story.attack ?? { attackers: new Set<string>() };
    expect(attackers.size).toBe(3);
    const names = story.clients.map(({ name }) => name);
    expect([...attackers].every((name) => names.includes(name))).toBe(true);
    expect(attack?.parameters).toEqual({ epsilon: 2 });
  });

  it('draws other attackers and other shares for another seed', async () => {
    const simulation = parsed({ attack: { kind: 'noise', share: 0.3 } });
    const [one, same, other] = await Promise.all(
      [5, 5, 6].map((seed) => storyOf(simulation, seed)),
    );
    expect(one.attack?.attackers).toEqual(same.attack?.attackers);
    expect(one.clients[0].data).toEqual(same.clients[0].data);
    expect(one.attack?.attackers).not.toEqual(other.attack?.attackers);
    expect(one.clients[0].data).not.toEqual(other.clients[0].data);
  });

  it('never makes the target an attacker', async () => {
    const simulation = parsed({
      rule: 'fedgp',
      clients: 3,
      test: 500,
      partition: { kind: 'turned', perSource: 50, target: 20 },
      attack: { kind: 'noise', share: 0.34 },
    });
    for (const seed of [1, 2, 3, 4]) {
      const { attack, clients } = await storyOf(simulation, seed);
      expect(clients.map(({ role }) => role)).toEqual(['source', 'source', 'target']);
      expect(attack?.attackers.has('target')).toBe(false);
    }
  });

  it.each<[string, Partial<SimulationInput>, RegExp]>([
    ['attackers that are nobody', { attack: { kind: 'noise', share: 0.01 } }, /makes 0 of 10/],
    ['a cohort larger than all', { cohort: 11 }, /10 clients, not 11/],
    ['hospitals among digits', { partition: { kind: 'natural' } }, /use iid or dirichlet/],
    ['an unknown attack', { attack: { kind: 'nois', share: 0.2 } }, /did you mean "noise"/],
  ])('does not exist for %s', async (_, changes, message) => {
    await expect(storyOf(parsed(changes), 1)).rejects.toThrow(message);
  });
});

describe('a simulation', () => {
  it('gives the same bits for the same file, and others for another seed', async () => {
    const simulation = parsed({ rules: ['fedavg', 'median'], rule: undefined, seeds: [3] });
    const [one, same] = [await simulate(simulation), await simulate(simulation)];
    expect(same).toEqual(one);
    const other = await simulate({ ...simulation, seeds: [4] });
    const checkpoints = [one, other].flatMap(({ rules }) => rules.map((r) => r.runs[0].checkpoint));
    expect(new Set(checkpoints).size).toBe(4);
    expect(checkpoints).not.toContain(null);
  });

  it('learns, and tells each run as it ends', async () => {
    const told: string[] = [];
    const result = await simulate(parsed({ rounds: 4, seeds: 2, evaluateEvery: 2 }), {
      onRun: (label, { seed }) => void told.push(`${label} ${seed}`),
    });
    expect(told).toEqual(['fedavg 1', 'fedavg 2']);
    const [{ runs, final, attackerShare }] = result.rules;
    expect(runs.map(({ rounds }) => rounds.map(({ round }) => round))).toEqual([
      [2, 4],
      [2, 4],
    ]);
    const last = runs.map(({ rounds }) => rounds[1].metrics.accuracy);
    expect(final.accuracy.mean).toBeCloseTo((last[0] + last[1]) / 2, 12);
    expect(final.accuracy.deviation).toBeCloseTo(Math.abs(last[0] - last[1]) / Math.SQRT2, 12);
    // Chance is one in ten.
    expect(final.accuracy.mean).toBeGreaterThan(0.25);
    expect(attackerShare).toBeNull();
  });

  it('invites no more than the cohort', async () => {
    const story = await storyOf(parsed({ cohort: 4 }), 1);
    const run = await playOne(story, story.runs[0]);
    expect(run.rounds).toHaveLength(2);
  });
});

describe('an attack on a simulation', () => {
  const attacked = async (
    kind: string,
    rule: string,
    parameters: Record<string, number> = {},
  ): Promise<SimulatedRun> => {
    const attack = { kind, share: 0.2, ...parameters };
    const story = await storyOf(parsed({ rule, attack, rounds: 3 }), 2);
    return playOne(story, story.runs[0]);
  };
  const accuracyOf = ({ rounds }: SimulatedRun): number => rounds.at(-1)?.metrics.accuracy ?? NaN;

  it('ruins the mean and not the median, which gives it less weight', async () => {
    const mean = await attacked('sign-flip', 'uniform', { scale: 10 });
    const median = await attacked('sign-flip', 'median', { scale: 10 });
    expect(accuracyOf(mean)).toBeLessThan(0.2);
    expect(accuracyOf(median)).toBeGreaterThan(accuracyOf(mean) + 0.15);
    expect(mean.attackerShare).toBeCloseTo(0.2, 9);
    expect(median.attackerShare).toBeLessThan(0.15);
    expect(mean.attackers).toHaveLength(2);
    expect([mean.refused, median.refused]).toEqual([0, 0]);
  });

  it('is counted where admission refuses it, and the round goes on without', async () => {
    const simulation = parsed({
      rule: 'uniform',
      attack: { kind: 'sign-flip', share: 0.2, scale: 1e4 },
      caps: { deltaMax: 8 },
    });
    const story = await storyOf(simulation, 2);
    const run = await playOne(story, story.runs[0]);
    expect(run.refused).toBe(2 * 2);
    expect(run.attackerShare).toBe(0);
    expect(run.diverged).toBeNull();
  });

  it('may end in training that diverges, which is a result', async () => {
    const attack = { kind: 'noise', share: 0.2 };
    const training = { learningRate: 1e30 };
    const story = await storyOf(parsed({ rule: 'uniform', attack, training }), 2);
    const run = await playOne(story, story.runs[0]);
    expect(run.diverged).not.toBeNull();
    expect(run).toMatchObject({ rounds: [], checkpoint: null, attackerShare: null });
    expect(run.attackers).toHaveLength(2);
  });
});
