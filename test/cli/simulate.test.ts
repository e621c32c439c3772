/** `tributary simulate`: files, and results as text. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadSimulation } from '../../server/cli/simulate/file.js';
import { simulated } from '../../server/cli/simulate/results.js';
import type { SimulatedRun, SimulationResult } from '../../server/simulation/simulate.js';
import { playOne } from '../../server/simulation/simulate.js';
import { runsOf, storyOf } from '../../server/simulation/simulation.js';
import { folder, useFolder } from '../support/folder.js';

useFolder();

async function written(name: string, content: object | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const ownRule = `
import { linearRule } from 'tributary-fl';
import { z } from 'zod';
export default linearRule({
  name: 'square-root',
  paper: 'a test',
  options: z.strictObject({ floor: z.number().default(0) }),
  weightMax: () => 1024,
  weigh: ({ numExamples }, { options }) => Math.max(options.floor, Math.sqrt(numExamples)),
});
`;

describe('a simulation file', () => {
  it.each(['label-skew.json', 'attack.json'])('is among the examples: %s', async (name) => {
    const path = fileURLToPath(new URL(`../../examples/simulations/${name}`, import.meta.url));
    const simulation = await loadSimulation(path);
    expect(runsOf(simulation).length).toBeGreaterThan(2);
  });

  it('may name a rule in a file beside it, which is then played', async () => {
    await written('square-root.ts', ownRule);
    const path = await written('own.json', {
      task: 'small-digits',
      clients: 3,
      test: 9700,
      rounds: 1,
      rules: [
        './square-root.ts',
        { file: './square-root.ts', label: 'same', options: { floor: 20 } },
      ],
    });
    const simulation = await loadSimulation(path);
    const story = await storyOf(simulation, 1);
    expect(story.runs.map(({ label }) => label)).toEqual(['square-root', 'same']);
    const run = await playOne(story, story.runs[0]);
    expect(run.checkpoint).toMatch(/^[0-9a-f]{64}$/);
  });

  it('is refused where its own rule has a name of ours', async () => {
    await written('impostor.ts', ownRule.replace('square-root', 'median'));
    const path = await written('impostor.json', {
      task: 'small-digits',
      rules: ['fedavg', { file: './impostor.ts' }],
    });
    await expect(loadSimulation(path)).rejects.toMatchObject({
      code: 'bad_request',
      message: `rule.name: "median" is a rule of Tributary's: give yours another name`,
    });
  });

  it.each<[string, object | string, RegExp]>([
    ['no JSON', '{ "task": ', /broken.json is not JSON/],
    ['a list', [], /broken.json: Invalid input/],
    ['a task that there is not', { task: 'x', rule: 'fedavg' }, /broken.json: task: .*digits/],
    ['a rule that there is not', { task: 'digits', rule: 'fedavk' }, /did you mean "fedavg"/],
    ['a rule file that is not there', { task: 'digits', rule: './none.ts' }, /none.ts/],
  ])('is refused with %s, by name', async (_, content, message) => {
    const path = await written('broken.json', content);
    await expect(loadSimulation(path)).rejects.toThrow(message);
  });

  it('is refused where it is not there', async () => {
    await expect(loadSimulation(join(folder, 'missing.json'))).rejects.toThrow('cannot be read');
  });
});

function runOf(seed: number, accuracies: readonly number[]): SimulatedRun {
  return {
    seed,
    rounds: accuracies.map((accuracy, i) => ({ round: i + 1, metrics: { accuracy, loss: 1 } })),
    checkpoint: null,
    diverged: accuracies.length === 0 ? 'the loss became NaN' : null,
    attackers: ['a'],
    attackerShare: accuracies.length === 0 ? null : 0.125,
    refused: seed,
  };
}

describe('the results of a simulation', () => {
  const wide = 'a-rule-with-a-very-long-name-and-adagrad';
  const result: SimulationResult = {
    title: 'four clients',
    seeds: [1, 2],
    rounds: 4,
    rules: [
      {
        label: wide,
        rule: 'fedavg',
        runs: [runOf(1, [0.1, 0.2, 0.3, 0.4]), runOf(2, [0.1, 0.2, 0.3, 0.5])],
        final: { accuracy: { mean: 0.45, deviation: 0.0707 }, loss: { mean: 1, deviation: 0 } },
        attackerShare: 0.125,
      },
      { label: 'lost', rule: 'median', runs: [runOf(2, [])], final: {}, attackerShare: null },
    ],
  };

  it('fit 80 columns, with mean and deviation, and say what went wrong', () => {
    const text = simulated(result);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(text).toContain('four clients');
    expect(text).toMatch(/^rule +round 2 +round 3 +round 4 +attackers$/m);
    expect(text).toMatch(/a-rule-with.* 20\.00 ± 0\.00 +30\.00 ± 0\.00 +45\.00 ± 7\.07 +12\.5%$/m);
    expect(text).toMatch(/^lost +diverged +diverged +diverged/m);
    expect(text).toContain('lost diverged with seed 2');
    expect(text).toContain('admission refused 3 updates of attackers');
  });

  it('show no attackers where there are none, and no spread of one seed', () => {
    const { rules, ...rest } = result;
    const [{ runs }] = rules;
    const peaceful = [{ ...runs[0], attackerShare: null, refused: 0 }];
    const text = simulated({
      ...rest,
      seeds: [1],
      rules: [{ ...rules[0], runs: peaceful, attackerShare: null }],
    });
    expect(text).not.toContain('attackers');
    expect(text).not.toContain('±');
    expect(text).toContain('one seed');
  });
});
