/** Server optimizers: how the aggregate moves the model. */
import type { RuleDescription, RuleState } from '../rules/rule.js';

/**
 * Turns the aggregate into the step that the model takes: w_new = fround(w + step), in f64.
 * Pure: the state comes in and goes out as data.
 */
export interface ServerOptimizer<O> extends RuleDescription<O> {
  apply(
    delta: Float64Array,
    state: RuleState,
    options: O,
  ): { readonly delta: Float64Array; readonly state: RuleState };
}

export type AnyOptimizer = ServerOptimizer<unknown>;
