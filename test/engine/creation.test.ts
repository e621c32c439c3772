/** Runs that could never end well are refused when they are created, with the reason. */
import { describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import { ODD_RULE, register } from './support/odd-rule.js';
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

  it('of a rule that sends state to clients is refused, since checkpoints do not carry it', async () => {
    const unregister = register({ broadcast: () => ({}) });
    try {
      expect(await refusal({ rule: { name: ODD_RULE } })).toBe('rule_needs');
    } finally {
      unregister();
    }
  });
});
