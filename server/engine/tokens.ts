/** Bearer tokens: 256 random bits, shown once; only their sha256 is stored. */
import { createHash, randomBytes } from 'node:crypto';

/** What a token begins with tells people, and scanners for leaked secrets, what it is. */
const PREFIXES = { client: 'trb_', operator: 'tro_' };

export function newToken(whose: keyof typeof PREFIXES = 'client'): string {
  return PREFIXES[whose] + randomBytes(32).toString('base64url');
}

/** The token that goes with a secret of the client's own: the same for the same call again. */
export function tokenFrom(secret: string, runId: string, name: string): string {
  const hash = createHash('sha256').update(['join', runId, name, secret].join('\n'));
  return PREFIXES.client + hash.digest('base64url');
}

/** Whether a token is an operator's, if it is anybody's. The configured one may look otherwise. */
export function isOperatorToken(token: string): boolean {
  return token.startsWith(PREFIXES.operator);
}

/** A token has full entropy, so a plain hash is enough: there is no dictionary to try. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** When a token made now expires; null for one that does not. Milliseconds since 1970. */
export function expiryOf(now: number, expiresInMs: number | undefined): number | null {
  return expiresInMs === undefined ? null : now + expiresInMs;
}
