/** No room left: on the disk, in the quota, in the database, or by the limit of our own. */
import type { ErrorBody } from '../../protocol/errors.js';
import { TributaryError } from '../../protocol/errors.js';

/** Of the file system, and of Postgres (`disk_full`). */
const fullCodes = ['ENOSPC', 'EDQUOT', '53100'];

/** Room comes back when a round commits, or when somebody makes some: neither is a matter of a second. */
const RETRY_MS = 5_000;

/** Whether a failure of the disk or of the database means that it is full. */
export function meansFull(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && fullCodes.includes(code);
}

/** Says when to try again, spread by chance: all that were refused would come back as one. */
export function storageFull(
  message: string,
  details?: ErrorBody['details'],
  cause?: unknown,
): TributaryError {
  const retryAfterMs = RETRY_MS + Math.floor(Math.random() * 2 * RETRY_MS);
  return new TributaryError('storage_full', message, details, { cause, retryAfterMs });
}
