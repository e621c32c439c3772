/** A rule with a server optimizer on top, as one rule. FedAdam is the mean with Adam on top. */
import { z } from 'zod';
import type { ServerOptimizer } from '../optimizers/optimizer.js';
import type { AggregationRule, RuleContext, RuleState } from './rule.js';

export interface ComposedOptions<O, P> {
  readonly rule: O;
  readonly optimizer: P;
}

const RULE = 'rule.';
const OPTIMIZER = 'optimizer.';

/**
 * The same weights, coefficients and diagnostics as the rule's; the delta is the optimizer's. The
 * states of both are kept apart by a prefix of their names.
 */
export function withOptimizer<O, Acc, P>(
  rule: AggregationRule<O, Acc>,
  optimizer: ServerOptimizer<P>,
): AggregationRule<ComposedOptions<O, P>, Acc> {
  const inner = (ctx: RuleContext<ComposedOptions<O, P>>): RuleContext<O> => ({
    ...ctx,
    options: ctx.options.rule,
    state: part(ctx.state, RULE),
  });
  return {
    name: `${rule.name}+${optimizer.name}`,
    paper: `${rule.paper}; ${optimizer.paper}`,
    options: z.strictObject({ rule: rule.options, optimizer: optimizer.options }),
    family: rule.family,
    needs: rule.needs,
    needed: (options) => rule.needed?.(options.rule) ?? rule.needs,
    minUpdates: (options) => rule.minUpdates(options.rule),
    ...(rule.weightMax && { weightMax: (options) => rule.weightMax!(options.rule) }),
    ...(rule.weightOf && {
      weightOf: (facts, options, state) => rule.weightOf!(facts, options.rule, part(state, RULE)),
    }),
    begin: (ctx) => rule.begin(inner(ctx)),
    accumulate: (acc, update, ctx) => rule.accumulate(acc, update, inner(ctx)),
    async finish(acc, ctx) {
      const outcome = await rule.finish(acc, inner(ctx));
      const step = optimizer.apply(
        outcome.delta,
        part(ctx.state, OPTIMIZER),
        ctx.options.optimizer,
      );
      const state = joined({ [RULE]: outcome.state, [OPTIMIZER]: step.state });
      return { ...outcome, delta: step.delta, state };
    },
    ...(rule.broadcast && { broadcast: (state) => rule.broadcast!(part(state, RULE)) }),
  };
}

/** What stands under a prefix, without it. */
function part(state: RuleState, prefix: string): RuleState {
  const under = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(
      Object.entries(record)
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, value]) => [name.slice(prefix.length), value]),
    );
  return { tensors: under(state.tensors), values: under(state.values) };
}

function joined(parts: Readonly<Record<string, RuleState>>): RuleState {
  const under = <T>(of: (state: RuleState) => Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(
      Object.entries(parts).flatMap(([prefix, state]) =>
        Object.entries(of(state)).map(([name, value]) => [`${prefix}${name}`, value]),
      ),
    );
  return { tensors: under((s) => s.tensors), values: under((s) => s.values) };
}
