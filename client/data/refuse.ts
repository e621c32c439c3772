import type { ErrorBody } from '../../protocol/errors.js';
import { TributaryError } from '../../protocol/errors.js';

/** @throws TributaryError `bad_request` naming the data file. */
export function refuse(
  path: string,
  problem: string,
  details: ErrorBody['details'] = {},
  cause?: unknown,
): never {
  throw new TributaryError(
    'bad_request',
    `${path}: ${problem}`,
    { file: path, ...details },
    { cause },
  );
}
