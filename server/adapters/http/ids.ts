/** Parts of an address, parsed before a store sees them. */
import type { Request } from 'express';
import { TributaryError } from '../../../protocol/errors.js';
import type { ErrorCode } from '../../../protocol/errors.js';
import { MAX_PAGE } from '../../../protocol/http.js';

/** Every id that the coordinator gives out; anything else is the id of nothing. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

const whatFor: Partial<Record<ErrorCode, string>> = {
  run_not_found: 'run',
  assignment_unknown: 'assignment',
};

/** @throws TributaryError `code`, where the parameter cannot be an id. */
export function idParam(req: Request, name: string, code: ErrorCode): string {
  const id = req.params[name];
  if (typeof id === 'string' && ID.test(id)) return id;
  throw new TributaryError(code, `there is no such ${whatFor[code] ?? name}`);
}

/**
 * `?from=PLACE&limit=N`; `from` is null where nothing is said. A page is bounded also where nobody asks
 * for one: it is held in memory, a long run has very many entries, and those of a great round name
 * every client of its cohort.
 *
 * @throws TributaryError `bad_request`.
 */
export function pageOf({ query }: Request): { from: number | null; limit: number } {
  const from = query.from === undefined ? null : numberParam(query.from, 'from');
  const limit = query.limit === undefined ? MAX_PAGE : numberParam(query.limit, 'limit');
  return { from, limit: Math.min(limit, MAX_PAGE) };
}

/** @throws TributaryError `bad_request`. */
export function numberParam(text: unknown, name: string): number {
  if (typeof text === 'string' && /^\d{1,9}$/.test(text)) return Number(text);
  throw new TributaryError('bad_request', `${name}: give a whole number`);
}
