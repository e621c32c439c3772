/**
 * A rule with a server optimizer on top and steps after both, as one rule: FedAdam is the mean with
 * Adam on top.
 */
import { z } from 'zod';
import type { ServerOptimizer } from '../optimizers/optimizer.js';
import type { AnyStep } from '../steps/step.js';
import { joinStates, partOf } from './composed-state.js';
import { commonDiagnostics } from './diagnostics.js';
import { parseOptions } from './options.js';
import type { AggregationRule, RuleContext, RuleState, UpdateFacts } from './rule.js';

export interface ComposedOptions<O, P> {
  readonly rule: O;
  readonly optimizer: P;
  /** One for each step, in their order. */
  readonly after: readonly unknown[];
}

export interface ComposedSum<Acc> {
  readonly ofRule: Acc;
  readonly updates: Pick<UpdateFacts, 'clientId' | 'norm'>[];
}

/** What the names of the rule's own state begin with. */
export const RULE_PREFIX = 'rule.';
const OPTIMIZER = 'optimizer.';
const after = (index: number): string => `after.${index}.`;

/**
 * The same weights and coefficients as the rule's, its diagnostics and those that every rule gets;
 * the delta is that of the last step. The states of all are kept apart by a prefix of their names.
 */
export function compose<O, Acc, P>(
  rule: AggregationRule<O, Acc>,
  optimizer: ServerOptimizer<P>,
  steps: readonly AnyStep[] = [],
): AggregationRule<ComposedOptions<O, P>, ComposedSum<Acc>> {
  const inner = (ctx: RuleContext<ComposedOptions<O, P>>): RuleContext<O> => ({
    ...ctx,
    options: ctx.options.rule,
    state: partOf(ctx.state, RULE_PREFIX),
  });
  const parts = [rule, optimizer, ...steps];
  return {
    name: parts.map(({ name }) => name).join('+'),
    paper: parts.map(({ paper }) => paper).join('; '),
    options: composedOptions(rule, optimizer, steps),
    family: rule.family,
    needs: rule.needs,
    needed: (options) => rule.needed?.(options.rule) ?? rule.needs,
    minUpdates: (options) => rule.minUpdates(options.rule),
    ...(rule.training && { training: (options) => rule.training!(options.rule) }),
    ...(rule.weightMax && { weightMax: (options) => rule.weightMax!(options.rule) }),
    ...(rule.weightOf && {
      weightOf: (facts, options, state) =>
        rule.weightOf!(facts, options.rule, partOf(state, RULE_PREFIX)),
    }),
    begin: (ctx) => ({ ofRule: rule.begin(inner(ctx)), updates: [] }),
    async accumulate(acc, update, ctx) {
      await rule.accumulate(acc.ofRule, update, inner(ctx));
      acc.updates.push({ clientId: update.clientId, norm: update.norm });
    },
    async finish(acc, ctx) {
      const outcome = await rule.finish(acc.ofRule, inner(ctx));
      const moved = optimizer.apply(
        outcome.delta,
        partOf(ctx.state, OPTIMIZER),
        ctx.options.optimizer,
      );
      const { delta, states } = stepped(steps, moved.delta, ctx);
      return {
        ...outcome,
        delta,
        state: joinStates({ [RULE_PREFIX]: outcome.state, [OPTIMIZER]: moved.state, ...states }),
        diagnostics: { ...commonDiagnostics(outcome, acc.updates), ...outcome.diagnostics },
      };
    },
    ...(rule.broadcast && { broadcast: (state) => rule.broadcast!(partOf(state, RULE_PREFIX)) }),
  };
}

/** Each step gets what the one before it gave. */
function stepped(
  steps: readonly AnyStep[],
  first: Float64Array,
  { model, state, options }: RuleContext<ComposedOptions<unknown, unknown>>,
): { delta: Float64Array; states: Record<string, RuleState> } {
  let delta = first;
  const states: Record<string, RuleState> = {};
  for (const [index, step] of steps.entries()) {
    const input = { model, delta, state: partOf(state, after(index)) };
    const result = step.apply(input, options.after[index]);
    delta = result.delta;
    states[after(index)] = result.state;
  }
  return { delta, states };
}

function composedOptions<O, P>(
  rule: Pick<AggregationRule<O, unknown>, 'options'>,
  optimizer: Pick<ServerOptimizer<P>, 'options'>,
  steps: readonly AnyStep[],
): z.ZodType<ComposedOptions<O, P>> {
  const ofSteps = z
    .array(z.unknown())
    .length(steps.length)
    .default(() => steps.map(() => ({})))
    .transform((given) => given.map((options, i) => parseOptions(steps[i], options)));
  return z.strictObject({ rule: rule.options, optimizer: optimizer.options, after: ofSteps });
}
