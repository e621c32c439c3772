/** What fuzzers are made of: JSON that goes wrong in the ways that break servers. */
import fc from 'fast-check';

/** Values that have broken a server somewhere. */
const nasty: readonly unknown[] = [
  ...[null, true, -1, 0, 1e308, -1e308, 2 ** 53, 0.1, '', ' ', '0', 'NaN', 'null', [], {}, [[]]],
  ...['../../etc/passwd', '..\\..\\x', '%00', '\u0000', '\ud800', 'a'.repeat(5000), '‮', '😀'],
  ...[
    "'; DROP TABLE runs; --",
    '${7*7}',
    '{{7*7}}',
    '<script>',
    '\r\nset-cookie: a=b',
    '/dev/zero',
  ],
  JSON.parse('{"__proto__":{"polluted":true}}') as unknown,
  { constructor: { prototype: { polluted: true } } },
  JSON.parse('['.repeat(80) + ']'.repeat(80)) as unknown,
];

export const nastyValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(...nasty),
  fc.jsonValue({ maxDepth: 3 }),
);

/** Every place in a value, as a path of keys. */
function placesOf(value: unknown, at: readonly (string | number)[] = []): (string | number)[][] {
  const inner =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, each]) => placesOf(each, [...at, key]))
      : [];
  return [[...at], ...inner];
}

/** JSON, or what is none where a value has no JSON. */
export function jsonText(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value);
}

/** The value with another one at a place; `undefined` leaves the place out. */
function changed(value: unknown, place: readonly (string | number)[], to: unknown): unknown {
  const [key, ...rest] = place as readonly [(string | number)?, ...(string | number)[]];
  if (key === undefined) return to;
  const entries = Object.entries(value as object).filter(([name]) => name !== String(key));
  const inner: unknown = (value as Record<string | number, unknown>)[key];
  const copy = rest.length === 0 && to === undefined ? [] : [[key, changed(inner, rest, to)]];
  const all = Object.fromEntries([...entries, ...copy]) as Record<string, unknown>;
  return Array.isArray(value) ? Object.values(all) : all;
}

/** A good value with one to three places in it replaced, left out, or added to. */
export function spoilt(good: unknown): fc.Arbitrary<unknown> {
  const places = placesOf(good);
  const change = fc.record({
    place: fc.constantFrom(...places),
    to: fc.oneof(nastyValue, fc.constant(undefined)),
    extra: fc.option(fc.constantFrom('__proto__x', 'constructor', 'toString', 'extra', '')),
  });
  return fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) =>
    changes.reduce((value, { place, to, extra }) => {
      // A place may be gone after the first change: what is there then is replaced as a whole.
      try {
        return changed(value, extra === null ? place : [...place, extra], to);
      } catch {
        return to;
      }
    }, good),
  );
}

/** Bytes with some of them changed, cut, doubled or put in. */
export function mangled(good: Uint8Array): fc.Arbitrary<Uint8Array> {
  const at = fc.nat({ max: Math.max(0, good.length - 1) });
  return fc.oneof(
    fc.array(fc.tuple(at, fc.nat({ max: 255 })), { minLength: 1, maxLength: 8 }).map((changes) => {
      const bytes = Uint8Array.from(good);
      for (const [i, value] of changes) bytes[i] = value;
      return bytes;
    }),
    at.map((length) => good.slice(0, length)),
    fc.tuple(at, fc.uint8Array({ maxLength: 64 })).map(([i, extra]) => {
      return Uint8Array.of(...good.subarray(0, i), ...extra, ...good.subarray(i));
    }),
    fc.tuple(at, at).map(([i, j]) => {
      const [from, to] = i < j ? [i, j] : [j, i];
      return Uint8Array.of(...good.subarray(0, to), ...good.subarray(from));
    }),
  );
}
