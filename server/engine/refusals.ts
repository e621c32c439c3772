/** Why a client may not take part now, and when it may ask again. */
import { randomInt } from 'node:crypto';
import { TributaryError } from '../../protocol/errors.js';
import type { Standing } from '../core/ports.js';
import type { EnrolledClient } from '../core/records.js';

/** Spread, so that a thousand sites that wait for approval do not ask as one. */
const ASK_AGAIN_MS = { from: 5_000, to: 10_000 };

/** null where it may. */
export function refusalOf(
  { id, runId, tokenExpiresAt }: EnrolledClient,
  standing: Standing,
): TributaryError | null {
  switch (standing) {
    case 'approved':
      return null;
    case 'pending': {
      const message = `site "${id}" waits for an operator's approval in run "${runId}"`;
      const retryAfterMs = randomInt(ASK_AGAIN_MS.from, ASK_AGAIN_MS.to);
      return new TributaryError('not_approved', message, undefined, { retryAfterMs });
    }
    case 'revoked':
      return new TributaryError('revoked', `site "${id}" was revoked in run "${runId}"`);
    case 'expired':
      return new TributaryError('token_expired', expiredMessage(`site "${id}"`, tokenExpiresAt));
  }
}

export function expiredMessage(whose: string, tokenExpiresAt: number | null): string {
  const at = tokenExpiresAt === null ? '' : ` at ${new Date(tokenExpiresAt).toISOString()}`;
  return `the token of ${whose} expired${at}`;
}
