/** One round of a rule over files, without a coordinator: one version, no state from before. */
import { foldScale } from '../../core/kernels/fold.js';
import type { FoldScale, Kernels } from '../../core/kernels/kernels.js';
import type { Layout } from '../../core/layout.js';
import type { LossOracle } from '../../core/ports.js';
import type { AnyRule, Outcome, UpdateFacts, UpdateReader } from '../../core/rules/rule.js';
import { emptyState } from '../../core/rules/rule.js';

export interface FuseInput {
  readonly rule: AnyRule;
  readonly options: unknown;
  /** w, over the layout. */
  readonly model: Float32Array;
  readonly layout: Layout;
  readonly updates: readonly (UpdateReader & { readonly foldedMax: number })[];
  readonly kernels: Kernels;
  readonly oracle: LossOracle | null;
}

/** @throws TributaryError as the rule does. */
export async function fuse(input: FuseInput): Promise<Outcome> {
  const { rule, updates, ...known } = input;
  const ctx = {
    ...known,
    round: 1,
    numClients: updates.length,
    state: emptyState,
    fold: tightScale(input),
  };
  const acc = rule.begin(ctx);
  for (const update of updates) await rule.accumulate(acc, update, ctx);
  return rule.finish(acc, ctx);
}

/**
 * A run fixes the scale of its exact fold for updates that it has not seen. Here they are all known,
 * so the scale is the finest that holds them: weights of small models keep all of their digits.
 */
function tightScale({ rule, options, updates }: FuseInput): FoldScale {
  const weights = updates.map(
    (facts: UpdateFacts) => rule.weightOf?.(facts, options, emptyState) ?? 1,
  );
  const largest = (values: readonly number[]): number => Math.max(...values) || 1;
  return foldScale({
    cohortMax: Math.max(1, updates.length),
    // Weights of auxiliary vectors are bounded by what the rule states.
    weightMax: Math.max(largest(weights), auxiliaryWeight({ rule, options })),
    deltaMax: largest(updates.map(({ foldedMax }) => foldedMax)),
  });
}

function auxiliaryWeight({ rule, options }: Pick<FuseInput, 'rule' | 'options'>): number {
  const folds = rule.family === 'linear' && (rule.needs.vectors ?? []).length > 0;
  return folds ? (rule.weightMax?.(options) ?? 0) : 0;
}
