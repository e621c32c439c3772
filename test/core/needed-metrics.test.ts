import { describe, expect, it } from 'vitest';
import { checkMetrics } from '../../server/core/admission.js';
import { needsOf, parseOptions, rules } from '../../server/core/rules/index.js';
import { emptyState } from '../../server/core/rules/rule.js';
import { reader } from './round.js';

describe('metrics that a rule needs', () => {
  const needing = [...rules.values()].filter(({ needs }) => needs.metrics?.length);

  it.each(needing)('$name refuses an update without them when it is weighed', (rule) => {
    const facts = reader({ clientId: 'c', delta: [1] });
    const weigh = (): unknown => rule.weightOf?.(facts, parseOptions(rule, {}), emptyState);
    expect(weigh).toThrow(expect.objectContaining({ code: 'bad_facts' }));
  });

  it.each(needing)('$name: admission refuses an update without them, naming the metric', (rule) => {
    const needs = needsOf(rule, parseOptions(rule, {}));
    const all = Object.fromEntries(needs.metrics!.map((name) => [name, 0.5]));
    expect(() => checkMetrics({ metrics: all }, needs)).not.toThrow();
    for (const name of needs.metrics!) {
      const metrics = Object.fromEntries(Object.entries(all).filter(([key]) => key !== name));
      expect(() => checkMetrics({ metrics }, needs)).toThrow(
        expect.objectContaining({
          code: 'bad_facts',
          message: expect.stringContaining(`"${name}"`) as string,
        }),
      );
    }
  });

  it('are not found on the prototype of the metrics', () => {
    expect(() => checkMetrics({ metrics: {} }, { metrics: ['constructor'] })).toThrow(
      /constructor/,
    );
  });
});
