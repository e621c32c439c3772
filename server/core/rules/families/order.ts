/** What all families do with the updates of a round before they compute. */
import { TributaryError } from '../../../../protocol/errors.js';
import { byClientId } from '../../cohort.js';
import type { AggregationRule, ClientId, UpdateReader } from '../rule.js';

/** For rules that look at all updates together, and at none before the last one is there. */
export const gathering: Pick<AggregationRule<unknown, UpdateReader[]>, 'begin' | 'accumulate'> = {
  begin: () => [],
  accumulate(acc, update) {
    acc.push(update);
    return Promise.resolve();
  },
};

/**
 * In client-id order, whatever the order of arrival was.
 * @throws TributaryError `internal` where a client is there twice, `rule_needs` for too few updates.
 */
export function inClientOrder<T extends { readonly clientId: ClientId }>(
  updates: readonly T[],
  rule: string,
  fewest: number,
): readonly T[] {
  const sorted = [...updates].sort(byClientId);
  const twice = sorted.find((update, i) => i > 0 && sorted[i - 1].clientId === update.clientId);
  if (twice) {
    throw new TributaryError('internal', `two updates of client "${twice.clientId}" in one round`);
  }
  if (sorted.length < fewest) {
    const message = `the rule "${rule}" needs ${fewest} updates, and the round has ${sorted.length}`;
    throw new TributaryError('rule_needs', message);
  }
  return sorted;
}
