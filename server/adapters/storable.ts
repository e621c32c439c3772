/**
 * What every store can hold, made so before it is stored. Postgres refuses the character NUL and
 * halves of surrogate pairs, and JSON has no NaN; both would otherwise turn up as an error in the
 * middle of a commit, or as a null where a number was.
 */
import { TributaryError } from '../../protocol/errors.js';

/** NUL, and halves of surrogate pairs: a client's words cut at the wrong place, or worse. */
// eslint-disable-next-line no-control-regex -- NUL is the very character that is looked for
const unstorable = /[\u0000\p{Surrogate}]/gu;

/** The text with U+FFFD where a character cannot be stored. */
export function storableText(text: string): string {
  return text.replace(unstorable, '\uFFFD');
}

/**
 * A deep copy as it will be read again: texts made storable, members that are undefined left out,
 * 0 for -0. `what` names the value in errors.
 *
 * @throws TributaryError `internal` where a number is not finite or something is not JSON: to store
 * null or 0 in its place would falsify a record.
 */
export function storableJson<T>(value: T, what: string): T {
  return copy(value, what) as T;
}

function copy(value: unknown, path: string): unknown {
  switch (typeof value) {
    case 'string':
      return storableText(value);
    case 'boolean':
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw refusal(path, String(value));
      return value === 0 ? 0 : value;
    case 'object':
      if (value === null) return null;
      if (Array.isArray(value)) return value.map((item, i) => copy(item, `${path}[${i}]`));
      if (isPlain(value)) return copyMembers(value, path);
      throw refusal(path, value.constructor.name);
    default:
      throw refusal(path, typeof value);
  }
}

function copyMembers(value: object, path: string): object {
  // fromEntries defines members: an assignment to "__proto__" would change the object instead.
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([name, member]) => [storableText(name), copy(member, `${path}.${name}`)]),
  );
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function refusal(path: string, found: string): TributaryError {
  return new TributaryError('internal', `${path}: ${found} cannot be stored as JSON`);
}

/** `value`, a number that goes into a column of its own. @throws TributaryError `internal` */
export function storableNumber(value: number, what: string): number {
  if (!Number.isFinite(value)) throw refusal(what, String(value));
  return value;
}
