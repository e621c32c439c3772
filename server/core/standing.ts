/** Whether a client may take part, and an operator act, at a given time. */
import type { Standing } from './ports.js';
import type { EnrolledClient, Operator } from './records.js';

/** Who was revoked is told so, also when the token has expired since: asking for a new one is no use. */
export function standingOf(
  { state, tokenExpiresAt }: Pick<EnrolledClient, 'state' | 'tokenExpiresAt'>,
  now: number,
): Standing {
  return state !== 'revoked' && hasExpired(tokenExpiresAt, now) ? 'expired' : state;
}

export function operatorStanding(
  { revoked, tokenExpiresAt }: Pick<Operator, 'revoked' | 'tokenExpiresAt'>,
  now: number,
): Exclude<Standing, 'pending'> {
  if (revoked) return 'revoked';
  return hasExpired(tokenExpiresAt, now) ? 'expired' : 'approved';
}

function hasExpired(tokenExpiresAt: number | null, now: number): boolean {
  return tokenExpiresAt !== null && tokenExpiresAt <= now;
}
