/** Whether a round has, or can still get, the updates that it needs. */
import type { Quorum, Role } from '../../protocol/run.js';
import type { TallyRow } from './round.js';

export interface QuorumStanding {
  readonly invited: number;
  readonly accepted: number;
  /** Assignments that may still bring an update. */
  readonly open: number;
  /** Why the round may not commit as it stands; null where it may. */
  readonly missing: string | null;
  /** Why it can never commit, whoever still answers; null where it can. */
  readonly hopeless: string | null;
}

/**
 * Counts the training assignments of a round against its quorum. `minUpdates` is what the rule
 * cannot work without; it holds even where the run's quorum asks for less.
 */
export function quorumOf(
  tally: readonly TallyRow[],
  quorum: Quorum,
  minUpdates: number,
): QuorumStanding {
  const rows = tally.filter((row) => row.kind === 'train');
  const count = (state?: TallyRow['state'], role?: Role): number =>
    rows.reduce(
      (sum, row) =>
        (state === undefined || row.state === state) && (role === undefined || row.role === role)
          ? sum + row.count
          : sum,
      0,
    );
  const invited = count();
  const accepted = count('accepted');
  const open = count('invited');
  const needed = Math.max(quorum.min, minUpdates, Math.ceil(quorum.share * invited - 1e-9));

  const short = (available: number): string | null =>
    available < needed
      ? `quorum missed: ${available} updates of ${invited} invited, ${needed} needed`
      : null;
  const lacking = (available: (role: Role) => number): string | null => {
    const role = quorum.required.find((r) => available(r) < Math.max(1, count(undefined, r)));
    return role ? `quorum missed: no update from a required ${role}` : null;
  };
  return {
    invited,
    accepted,
    open,
    missing: lacking((role) => count('accepted', role)) ?? short(accepted),
    hopeless:
      lacking((role) => count('accepted', role) + count('invited', role)) ?? short(accepted + open),
  };
}
