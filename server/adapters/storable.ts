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

/** `value`, which goes into a column of its own. @throws TributaryError `internal` if not finite */
export function storableNumber(value: number, what: string): number {
  if (!Number.isFinite(value)) throw refusal(what, String(value));
  return value;
}

/**
 * A deep copy as it will be read again: texts made storable, members that are undefined left out,
 * 0 for -0. `what` names the value in errors.
 *
 * @throws TributaryError `internal` where a number is not finite or something is not JSON: to store
 * null or 0 in its place would falsify a record.
 */
export function storableJson<T>(value: T, what: string): T {
  return copy(value, what, storableText) as T;
}

/**
 * The same for what must be stored as it is or not at all, such as a model's description.
 *
 * @throws TributaryError `bad_request` where a text cannot be stored.
 */
export function unchangedJson<T>(value: T, what: string): T {
  return copy(value, what, (text, path) => {
    if (storableText(text) === text) return text;
    const problem = 'a text with NUL or half of a surrogate pair cannot be stored';
    throw new TributaryError('bad_request', `${path}: ${problem}`, { path: storableText(path) });
  }) as T;
}

type CopyText = (text: string, path: string) => string;

function copy(value: unknown, path: string, text: CopyText): unknown {
  switch (typeof value) {
    case 'string':
      return text(value, path);
    case 'boolean':
      return value;
    case 'number':
      return storableNumber(value, path) === 0 ? 0 : value;
    case 'object':
      if (value === null) return null;
      if (Array.isArray(value)) return value.map((item, i) => copy(item, `${path}[${i}]`, text));
      if (isPlain(value)) return copyMembers(value, path, text);
      throw refusal(path, value.constructor.name);
    default:
      throw refusal(path, typeof value);
  }
}

function copyMembers(value: object, path: string, text: CopyText): object {
  // fromEntries defines members: an assignment to "__proto__" would change the object instead.
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([name, member]) => [text(name, path), copy(member, `${path}.${name}`, text)]),
  );
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function refusal(path: string, found: string): TributaryError {
  return new TributaryError('internal', `${path}: ${found} cannot be stored`);
}
