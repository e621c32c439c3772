/**
 * Rules that are no weighted sum of the updates, whatever the weights: they are given the updates of
 * the round, read them in tiles, and give the outcome.
 */
import type {
  AggregationRule,
  Needs,
  Outcome,
  RuleContext,
  RuleDescription,
  UpdateReader,
} from '../rule.js';
import { gathering, inClientOrder } from '../families/order.js';

export interface GeneralDefinition<O> extends RuleDescription<O> {
  readonly needs: Needs;
  /** @param updates in client-id order, at least one. */
  aggregate(updates: readonly UpdateReader[], ctx: RuleContext<O>): Promise<Outcome>;
}

export function generalRule<O>(
  definition: GeneralDefinition<O>,
): AggregationRule<O, UpdateReader[]> {
  const { name, summary = '', paper, options, needs } = definition;
  return {
    name,
    summary,
    paper,
    options,
    family: 'general',
    needs,
    ...(definition.control && { control: true }),
    minUpdates: () => 1,
    ...gathering,
    // Async, so that what it throws rejects.
    finish: async (acc, ctx) => definition.aggregate(inClientOrder(acc, name, 1), ctx),
  };
}
