/** The orders that the store promises, the same in every store and every locale. */
import { byClientId } from '../core/cohort.js';
import type { AssignmentRecord, Client, Operator, RoundPage, Run } from '../core/records.js';
import type { TallyRow } from '../core/round.js';

/** Client-id order: UTF-16 code units, which no collation of Postgres promises. */
export function sortedClients<T extends Pick<Client, 'id'>>(clients: readonly T[]): T[] {
  return [...clients].sort((a, b) => byClientId({ clientId: a.id }, { clientId: b.id }));
}

/** Client-id order; of one client, training comes before evaluation. */
export function sortedAssignments(assignments: readonly AssignmentRecord[]): AssignmentRecord[] {
  return [...assignments].sort((a, b) => byClientId(a, b) || -compare(a.kind, b.kind));
}

export function sortedTally(tally: readonly TallyRow[]): TallyRow[] {
  return [...tally].sort(
    (a, b) => -compare(a.kind, b.kind) || compare(a.role, b.role) || compare(a.state, b.state),
  );
}

/** Newest first; of the same millisecond, the greater id. */
export function sortedRuns(runs: readonly Run[]): Run[] {
  return [...runs].sort((a, b) => b.createdAt - a.createdAt || -compare(a.id, b.id));
}

/** By name, in UTF-16 code units. */
export function sortedOperators(operators: readonly Operator[]): Operator[] {
  return [...operators].sort((a, b) => compare(a.name, b.name));
}

/** The place of the first round of a page, of so many in all. */
export function pagePlace({ from, limit }: RoundPage, inAll: number): number {
  return Math.max(1, from ?? inAll - limit + 1);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
