/**
 * JSON of a peer, before anything walks it: schemas and whoever prints or copies the value recurse, and
 * a few kilobytes of brackets would overflow their stack.
 */
import { TributaryError } from '../../protocol/errors.js';

/** Objects and lists in one another. The deepest that makes sense, a model's layers, has about twenty. */
const MAX_LEVELS = 64;

/**
 * @throws TributaryError `bad_request` where the value nests deeper, or has a key that would reach for
 * a prototype where somebody assigns it.
 */
export function checkPlain(value: unknown, what: string): void {
  let level = containersIn([value]);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MAX_LEVELS) {
      throw new TributaryError('bad_request', `${what}: nests deeper than ${MAX_LEVELS} levels`);
    }
    level = level.flatMap((container) => {
      if (Object.hasOwn(container, '__proto__')) {
        throw new TributaryError('bad_request', `${what}: "__proto__" is no name`);
      }
      return containersIn(Object.values(container));
    });
  }
}

function containersIn(values: readonly unknown[]): object[] {
  return values.filter((value) => typeof value === 'object' && value !== null);
}
