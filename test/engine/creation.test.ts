/** Runs that could never end well are refused when they are created, with the reason. */
import { describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import { World } from './support/world.js';

async function refusal(spec: Partial<RunSpecInput>): Promise<unknown> {
  return World.create({ spec, clients: { ada: 'source' } }).then(
    () => 'created',
    (error: unknown) => (error as { code?: string }).code ?? error,
  );
}

describe('a run', () => {
  it.each<[string, Partial<RunSpecInput>, string]>([
    [
      'whose cohort is smaller than its quorum',
      { cohort: { size: 2 }, quorum: { min: 3 } },
      'bad_request',
    ],
    [
      'whose quorum is over the caps',
      { cohort: { size: 'all' }, quorum: { min: 9 }, caps: { cohortMax: 8 } },
      'bad_request',
    ],
    [
      'whose cohort is over the caps',
      { cohort: { size: 9 }, caps: { cohortMax: 8 } },
      'bad_request',
    ],
    [
      'whose cohort is smaller than the rule needs',
      { rule: { name: 'fedda' }, cohort: { size: 1 }, quorum: { min: 1 } },
      'rule_needs',
    ],
    [
      'whose caps are smaller than the rule needs',
      {
        ...{ rule: { name: 'fedda' }, cohort: { size: 'all' } },
        ...{ quorum: { min: 1 }, caps: { cohortMax: 1 } },
      },
      'rule_needs',
    ],
    [
      'that waits for updates of evaluators, who send none',
      { quorum: { min: 1, required: ['evaluator'] } },
      'bad_request',
    ],
    [
      'that has no room for the roles that it requires',
      { cohort: { size: 1 }, quorum: { min: 1, required: ['source', 'target'] } },
      'bad_request',
    ],
    ['without the oracle that its rule needs', { rule: { name: 'fedlaw' } }, 'rule_needs'],
  ])('%s is refused', async (_, spec, code) => {
    expect(await refusal(spec)).toBe(code);
  });

  it('that just fits is created', async () => {
    expect(
      await refusal({
        ...{ rule: { name: 'fedda' }, cohort: { size: 2 } },
        ...{ quorum: { min: 2, required: ['source'] }, caps: { cohortMax: 2 } },
      }),
    ).toBe('created');
  });

  it.each<[string, Partial<RunSpecInput>, string]>([
    [
      'that steers with momentum',
      { rule: { name: 'scaffold' }, training: { momentum: 0.9 } },
      'rule_needs',
    ],
    [
      'that steers with momentum at one role',
      { rule: { name: 'scaffold' }, trainingByRole: { target: { momentum: 0.9 } } },
      'rule_needs',
    ],
    [
      'that averages batches over epochs and counts steps',
      {
        ...{ rule: { name: 'fedda', options: { beta: 'auto' } }, cohort: { size: 2 } },
        ...{ quorum: { min: 2 }, training: { steps: 10 } },
      },
      'rule_needs',
    ],
    ['that switches a half of a rule on', { training: { controlVariates: true } }, 'bad_request'],
    [
      'that contradicts its rule',
      { rule: { name: 'feddyn' }, training: { dynamicAlpha: 0.5 } },
      'bad_request',
    ],
  ])('%s is refused', async (_, spec, code) => {
    expect(await refusal({ cohort: { size: 1 }, quorum: { min: 1 }, ...spec })).toBe(code);
  });

  it('that says what its rule says is created', async () => {
    const training = { dynamicAlpha: 0.1, momentum: 0.5, steps: 3 };
    expect(await refusal({ rule: { name: 'feddyn' }, training })).toBe('created');
  });
});
