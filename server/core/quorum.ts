/** Whether a round has, or can still get, the updates that it needs. */
import type { Quorum, Role } from '../../protocol/run.js';
import type { Round, TallyRow } from './round.js';

export interface QuorumStanding {
  readonly invited: number;
  readonly accepted: number;
  /** Assignments that may still bring an update. */
  readonly open: number;
  /** Accepted updates that end the collection. */
  readonly wanted: number;
  /** Whether the collection has all that it waits for: whoever is still at work is not needed. */
  readonly complete: boolean;
  /** Why the round may not commit as it stands; null where it may. */
  readonly missing: string | null;
  /** Why it can never commit, whoever still answers; null where it can. */
  readonly hopeless: string | null;
}

/** What a round asks for beside the quorum of its run. */
export interface Asked {
  /** What the rule cannot work without; it holds even where the run's quorum asks for less. */
  readonly minUpdates: number;
  /** Clients that could still be invited in the place of drop-outs. None has a required role. */
  readonly replacements?: number;
}

/**
 * Counts the training assignments of a round against its quorum. A share is of the updates wanted,
 * not of the clients invited: who was invited to spare may fail.
 */
export function quorumOf(
  { tally, wanted: asked }: Pick<Round, 'tally' | 'wanted'>,
  quorum: Quorum,
  { minUpdates, replacements = 0 }: Asked,
): QuorumStanding {
  const count = countTraining(tally);
  const [invited, accepted, open] = [count(), count('accepted'), count('invited')];
  // Rounds that began before they said how many they want waited for everybody.
  const wanted = asked ?? invited;
  const needed = Math.max(quorum.min, minUpdates, Math.ceil(quorum.share * wanted - 1e-9));

  /** @param toCome updates that may still arrive */
  const short = (toCome: number): string | null => {
    const most = accepted + toCome;
    if (most >= needed) return null;
    const updates = `${toCome > 0 ? 'at most ' : ''}${most} ${most === 1 ? 'update' : 'updates'}`;
    return `quorum missed: ${updates} of ${invited} invited, ${needed} needed`;
  };
  const lacking = (available: (role: Role) => number): string | null => {
    const role = quorum.required.find((r) => available(r) < Math.max(1, count(undefined, r)));
    return role ? `quorum missed: no update from a required ${role}` : null;
  };
  const lacked = lacking((role) => count('accepted', role));
  return {
    ...{ invited, accepted, open, wanted },
    complete: accepted >= wanted && lacked === null,
    missing: lacked ?? short(0),
    hopeless:
      lacking((role) => count('accepted', role) + count('invited', role)) ??
      short(open + replacements),
  };
}

/** Counts the training assignments of a round, in one state or in all, of one role or of all. */
export function countTraining(tally: readonly TallyRow[]) {
  const rows = tally.filter((row) => row.kind === 'train');
  return (state?: TallyRow['state'], role?: Role): number =>
    rows.reduce(
      (sum, row) =>
        (state === undefined || row.state === state) && (role === undefined || row.role === role)
          ? sum + row.count
          : sum,
      0,
    );
}
