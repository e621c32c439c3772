/** What docs/write-a-rule.md shows is what examples/rules has, and it runs and gives what it should. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadSimulation } from '../../server/cli/simulate/file.js';
import { loadRuleFile } from '../../server/adapters/rule-modules.js';
import { simulate } from '../../server/simulation/simulate.js';
import { aggregateWith } from '../core/round.js';

const page = readFileSync('docs/write-a-rule.md', 'utf8');
const FOLDER = 'examples/rules';

it('shows each example word for word, rules in fewer than 25 lines', () => {
  const snippets = [...page.matchAll(/<!-- snippet: (\S+) -->\s+```(\w+)\n([\s\S]*?)```/g)];
  const shown = snippets.map(([, path]) => path);
  expect(shown.sort()).toEqual(
    readdirSync(FOLDER)
      .map((name) => `${FOLDER}/${name}`)
      .sort(),
  );
  for (const [, path, language, code] of snippets) {
    expect(code, path).toBe(readFileSync(path, 'utf8'));
    if (language === 'ts') expect(code.split('\n').length - 1, path).toBeLessThan(25);
  }
});

it('links to what is there', () => {
  const links = [...page.matchAll(/\]\(([^)#]+)\)/g)].map(([, target]) => `docs/${target}`);
  expect(links.filter((target) => !existsSync(target))).toEqual([]);
});

describe('the example', () => {
  it('log-examples gives 1, 3 and 7 examples the voices 1, 2 and 3', async () => {
    const { rule } = await loadRuleFile(`${FOLDER}/log-examples.ts`);
    const updates = [1, 3, 7].map((numExamples, i) => {
      return { clientId: `client-${i}`, numExamples, delta: [[0.5], [-1], [2]][i] };
    });
    const { delta, weights } = await aggregateWith(rule, {}, [0], updates);
    // ln 2, ln 4, ln 8 are 1 : 2 : 3; (0.5 - 2 + 6) / 6
    expect(delta[0]).toBeCloseTo(0.75, 6);
    expect(weights['client-1']).toBeCloseTo(1 / 3, 8);
  });

  it('agreement counts a client by how far it points along the sum', async () => {
    const { rule } = await loadRuleFile(`${FOLDER}/agreement.ts`);
    const deltas = [
      [3, 4],
      [1, 0],
      [0, -2],
    ];
    const updates = deltas.map((delta, i) => ({ clientId: `client-${i}`, delta }));
    const { delta, weights } = await aggregateWith(rule, { floor: 0.3 }, [0, 0], updates);
    // The sum is [4, 2]; along it go 20/5, 4/1 and -4/2; a tenth each, and 0.7 as 4 : 4 : 0.
    const given = ['client-0', 'client-1', 'client-2'].map((id) => weights[id]);
    [0.45, 0.45, 0.1].forEach((weight, i) => expect(given[i]).toBeCloseTo(weight, 12));
    expect(delta[0]).toBeCloseTo(1.8, 12);
    expect(delta[1]).toBeCloseTo(1.6, 12);
  });

  it('middle-mean takes the values in the middle', async () => {
    const { rule } = await loadRuleFile(`${FOLDER}/middle-mean.ts`);
    const updates = [9, 1, 4, 2, 100].map((x, i) => ({ clientId: `client-${i}`, delta: [x, -x] }));
    // Of 1 2 4 9 100 the middle three.
    expect([...(await aggregateWith(rule, {}, [0, 0], updates)).delta]).toEqual([5, -5]);
    const even = await aggregateWith(rule, { keep: 2 }, [0, 0], updates.slice(0, 4));
    // Of 1 2 4 9 the middle two.
    expect([...even.delta]).toEqual([3, -3]);
  });

  it('comparison runs each of them beside fedavg on simulated clients', async () => {
    const file = await loadSimulation(`${FOLDER}/compare.json`);
    const { rules } = await simulate({ ...file, rounds: 1, seeds: [1] });
    const names = ['fedavg', 'log-examples', 'agreement', 'middle-mean'];
    expect(rules.map(({ label }) => label)).toEqual(names);
    const accuracy = rules.map(({ final }) => final.accuracy.mean);
    expect(Math.min(...accuracy)).toBeGreaterThan(0.1);
    // Four rules, four models.
    expect(new Set(rules.map(({ runs }) => runs[0].checkpoint)).size).toBe(4);
  });
});
