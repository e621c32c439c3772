/** Bearer tokens: 256 random bits, shown once; only their sha256 is stored. */
import { createHash, randomBytes } from 'node:crypto';

const PREFIX = 'trb_';

export function newToken(): string {
  return PREFIX + randomBytes(32).toString('base64url');
}

/** A token has full entropy, so a plain hash is enough: there is no dictionary to try. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
