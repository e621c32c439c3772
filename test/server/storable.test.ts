import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asStorageError } from '../../server/adapters/prisma-store/errors.js';
import { storableJson, storableText, unchangedJson } from '../../server/adapters/storable.js';

describe('what can be stored', () => {
  it('has U+FFFD where a text has NUL or half of a surrogate pair', () => {
    expect(storableText('a\u0000b \ud83d\ude00 \ud83d! \ude00')).toBe('a\ufffdb 😀 \ufffd! \ufffd');
  });

  it('is a copy that JSON gives back unchanged', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const stored = storableJson(value, 'value');
        expect(JSON.parse(JSON.stringify(stored))).toEqual(stored);
        expect(storableJson(stored, 'value')).toEqual(stored);
      }),
      { seed: 6 },
    );
  });

  it('keeps a member called __proto__ as a member', () => {
    const hostile = JSON.parse('{"__proto__": {"admin": true}}') as object;
    const stored = storableJson(hostile, 'value');
    expect(Object.getPrototypeOf(stored)).toBe(Object.prototype);
    expect(JSON.stringify(stored)).toBe('{"__proto__":{"admin":true}}');
  });

  it('leaves out members that are undefined, and has 0 for -0', () => {
    const stored = storableJson({ a: undefined, b: [-0] }, 'value');
    expect(Object.keys(stored)).toEqual(['b']);
    expect(Object.is(stored.b[0], 0)).toBe(true);
  });

  it.each([
    ['NaN', { a: [1, NaN] }, 'value.a[1]: NaN'],
    ['Infinity', { a: { b: -Infinity } }, 'value.a.b: -Infinity'],
    ['a typed array', { a: new Float32Array(2) }, 'value.a: Float32Array'],
    ['a bigint', [1n], 'value[0]: bigint'],
    ['undefined in a list', [undefined], 'value[0]: undefined'],
  ])('is not %s', (_, value, message) => {
    expect(() => storableJson(value, 'value')).toThrow(message);
  });

  it('is refused rather than changed where it must stay as it is', () => {
    expect(unchangedJson({ a: ['fine'] }, 'spec')).toEqual({ a: ['fine'] });
    for (const [value, path] of [
      [{ a: ['\u0000'] }, 'spec.a[0]'],
      [{ a: { '\ud800': 1 } }, 'spec.a'],
    ] as const) {
      expect(() => unchangedJson(value, 'spec')).toThrow(
        expect.objectContaining({ code: 'bad_request', details: { path } }),
      );
    }
  });
});

describe('a failure of the database', () => {
  const failed = (sqlState: string | undefined, message = 'the reason'): Error =>
    Object.assign(new Error(message), { code: sqlState });

  it.each([
    ['a broken constraint', failed('23505'), 'conflict'],
    ['a foreign key', failed('23503'), 'conflict'],
    ['a value out of range', failed('22003'), 'internal'],
    ['a table that is missing', failed('42P01'), 'internal'],
    ['a server that shuts down', failed('57P01'), 'storage_unavailable'],
    ['a full disk', failed('53100'), 'storage_full'],
    ['a deadlock', failed('40P01'), 'storage_unavailable'],
    ['a standby', failed('25006'), 'storage_unavailable'],
    ['a refused connection', failed('ECONNREFUSED'), 'storage_unavailable'],
    ['a pool that is used up', failed('P2024'), 'storage_unavailable'],
    ['a connection that broke', failed(undefined), 'storage_unavailable'],
  ])('that is %s says so', (_, error, code) => {
    expect(asStorageError(error, 'store')).toMatchObject({
      code,
      message: 'cannot store: the reason',
      cause: error,
    });
  });

  it('leaves our own errors as they are', () => {
    const bug = new TypeError('not a function');
    expect(asStorageError(bug, 'store')).toBe(bug);
  });
});
