/** Steps after aggregation: what still happens to a round's step, or is kept of it. */
import type { RuleDescription, RuleState } from '../rules/rule.js';

/** What a step sees. */
export interface StepInput {
  /** w, flat over the shared tensors. */
  readonly model: Float32Array;
  /** What the server optimizer, or the step before, adds to w. */
  readonly delta: Float64Array;
  /** What this step returned in the round before; empty in the first. */
  readonly state: RuleState;
}

/**
 * Runs after the rule and the server optimizer, in the order that the run names. Pure: the state
 * comes in and goes out as data.
 */
export interface AfterStep<O> extends RuleDescription<O> {
  apply(input: StepInput, options: O): { readonly delta: Float64Array; readonly state: RuleState };
}

export type AnyStep = AfterStep<unknown>;
