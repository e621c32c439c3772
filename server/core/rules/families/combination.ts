/**
 * Combination rules: coefficients from how the updates relate to each other and to the model, or
 * from an oracle. The rule sees inner products and answers of the oracle, never the vectors: memory
 * stays flat, and what it chose is stored with the round.
 */
import type {
  AggregationRule,
  Coefficients,
  Needs,
  Outcome,
  RuleContext,
  RuleDescription,
  RuleState,
  Tensors,
  UpdateReader,
} from '../rule.js';
import { meanCoefficient } from './coefficients.js';
import { gathering, inClientOrder } from './order.js';
import type { Workspace } from './workspace.js';
import { openWorkspace } from './workspace.js';

export type CombinationContext<O> = Pick<
  RuleContext<O>,
  'options' | 'round' | 'numClients' | 'model' | 'layout' | 'state'
>;

/** Coefficients alone, or with what else is worth keeping. */
export type Combination =
  | Coefficients
  | {
      readonly coefficients: Coefficients;
      readonly diagnostics?: Outcome['diagnostics'];
      readonly matrices?: Outcome['matrices'];
      readonly state?: RuleState;
    };

export interface CombinationDefinition<O, N extends Needs> extends RuleDescription<O> {
  readonly needs: N;
  /** What it needs under these options, where that is less. */
  needed?(options: O): Needs;
  /** Fewest updates; 1 if nothing is said. */
  minUpdates?(options: O): number;
  combine(x: Workspace<N>, ctx: CombinationContext<O>): Promise<Combination> | Combination;
  /** Sent down with the checkpoint. */
  broadcast?(state: RuleState): Tensors;
}

/**
 * Makes a rule of the coefficients that it chooses. Aggregating throws TributaryError `rule_needs`
 * where the round lacks what was declared, and `not_finite` for coefficients that are not.
 */
export function combinationRule<O, const N extends Needs>(
  definition: CombinationDefinition<O, N>,
): AggregationRule<O, UpdateReader[]> {
  const { name, summary = '', paper, options, needs } = definition;
  const fewest = (o: O): number => definition.minUpdates?.(o) ?? 1;
  return {
    name,
    summary,
    paper,
    options,
    family: 'combination',
    needs,
    needed: (o) => definition.needed?.(o) ?? needs,
    minUpdates: fewest,
    ...gathering,
    async finish(acc, ctx) {
      const updates = inClientOrder(acc, name, fewest(ctx.options));
      const needed = definition.needed?.(ctx.options) ?? needs;
      return outcomeOf(definition, updates, needed, ctx);
    },
    ...(definition.control && { control: true }),
    ...(definition.broadcast && { broadcast: (state) => definition.broadcast!(state) }),
  };
}

async function outcomeOf<O, N extends Needs>(
  definition: CombinationDefinition<O, N>,
  updates: readonly UpdateReader[],
  needed: Needs,
  ctx: RuleContext<O>,
): Promise<Outcome> {
  const { x, delta } = openWorkspace(definition.name, needed, updates, ctx);
  // The type shows what the rule declared; the value has everything.
  const result = await definition.combine(x as unknown as Workspace<N>, ctx);
  const {
    coefficients,
    diagnostics = {},
    matrices,
    state = ctx.state,
  } = 'coefficients' in result ? result : { coefficients: result };
  return {
    delta: await delta(coefficients),
    state,
    weights: Object.fromEntries(
      updates.map(({ clientId }, i) => [
        clientId,
        meanCoefficient(coefficients.updates[i], ctx.layout),
      ]),
    ),
    coefficients,
    diagnostics,
    ...(matrices && { matrices }),
  };
}
