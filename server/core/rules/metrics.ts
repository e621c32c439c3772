/** What rules read from the metrics of an update. */
import { TributaryError } from '../../../protocol/errors.js';
import type { UpdateFacts } from './rule.js';

/**
 * A metric that the rule cannot do without. Admission has checked what the rule declares in
 * `needs.metrics`; here again for updates that come another way, from files or simulations.
 * @throws TributaryError `bad_facts`.
 */
export function metricOf({ clientId, metrics }: UpdateFacts, name: string): number {
  const value = Object.hasOwn(metrics, name) ? metrics[name] : NaN;
  if (Number.isFinite(value)) return value;
  const message = `the rule needs the metric "${name}" of client "${clientId}", and it is ${Object.hasOwn(metrics, name) ? value : 'missing'}`;
  throw new TributaryError('bad_facts', message, { metric: name });
}

/** The same for one that is a loss, a variance or a rate. @throws TributaryError `bad_facts`. */
export function metricAbove(least: number, facts: UpdateFacts, name: string): number {
  const value = metricOf(facts, name);
  if (value >= least) return value;
  const message = `the metric "${name}" of client "${facts.clientId}" is ${value}; the rule takes none below ${least}`;
  throw new TributaryError('bad_facts', message, { metric: name });
}

/** Mean loss of the received model on the client's data: F_i. */
export const LOSS_BEFORE = 'lossBefore';

/** F_i. @throws TributaryError `bad_facts`. */
export function lossBefore(facts: UpdateFacts): number {
  return metricOf(facts, LOSS_BEFORE);
}
