/** One number a client, kept between rounds: the dual variables of minimax and constrained rules. */
import { byClientId } from '../../cohort.js';
import type { ClientId, Json, RuleState } from '../rule.js';

const MULTIPLIERS = 'multipliers';

/** The number of one client; undefined where it was never in a round. */
export function multiplierOf({ values }: RuleState, clientId: ClientId): number | undefined {
  const stored = values[MULTIPLIERS];
  // A client may be called "constructor": only what is the record's own is a client's.
  if (!isRecord(stored) || !Object.hasOwn(stored, clientId)) return undefined;
  const value = stored[clientId];
  return typeof value === 'number' ? value : undefined;
}

/** Of every client that was ever in a round, in client-id order. */
export function multipliersOf(state: RuleState): Map<ClientId, number> {
  const stored = state.values[MULTIPLIERS];
  const ids = isRecord(stored) ? Object.keys(stored) : [];
  return new Map(inOrder(ids.map((id) => [id, multiplierOf(state, id) ?? 0])));
}

/** The state with these, in client-id order: the same numbers are the same bytes. */
export function withMultipliers(
  state: RuleState,
  multipliers: ReadonlyMap<ClientId, number>,
): RuleState {
  const stored = Object.fromEntries(inOrder([...multipliers]));
  return { ...state, values: { ...state.values, [MULTIPLIERS]: stored } };
}

function inOrder(
  entries: readonly (readonly [ClientId, number])[],
): (readonly [ClientId, number])[] {
  return [...entries].sort(([a], [b]) => byClientId({ clientId: a }, { clientId: b }));
}

function isRecord(value: Json | undefined): value is Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
