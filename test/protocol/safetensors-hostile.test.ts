import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import {
  decodeSafetensors,
  encodeSafetensors,
  headerLength,
  parseHeader,
} from '../../protocol/safetensors.js';
import { anyTensors } from './safetensors-arbitraries.js';
import { fileOf } from './safetensors-files.js';
import { hostileFiles } from './safetensors-hostile-files.js';

/** What a call throws, or undefined; and the bytes of buffers that it allocated. */
function attempt(call: () => unknown): { error: unknown; allocated: number } {
  const before = process.memoryUsage().arrayBuffers;
  let error: unknown;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  return { error, allocated: process.memoryUsage().arrayBuffers - before };
}

function expectRefusal(error: unknown): TributaryError {
  expect(error).toBeInstanceOf(TributaryError);
  const refusal = error as TributaryError;
  expect(refusal.code).toBe('bad_safetensors');
  // Goes into a receipt, a log and a terminal: short, and nothing in it that Postgres refuses.
  const { tensor = '' } = (refusal.details ?? {}) as { tensor?: string };
  expect(refusal.message.length + tensor.length).toBeLessThan(1500);
  expect(refusal.message + tensor).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
  return refusal;
}

describe('a hostile safetensors file', () => {
  it.each(hostileFiles)('with $what is refused, saying so', ({ bytes, says }) => {
    const { error, allocated } = attempt(() => decodeSafetensors(bytes));

    expect(expectRefusal(error).message).toMatch(says);
    expect(allocated).toBeLessThanOrEqual(bytes.length);
  });

  it('is refused for its header alone, before the data was sent', () => {
    for (const { bytes, says } of hostileFiles) {
      const readAhead = () => {
        const length = headerLength(bytes.subarray(0, 8));
        return parseHeader(bytes.subarray(8, 8 + length), bytes.length);
      };
      // A header longer than the file is not all there: the reader of a stream would wait for it.
      if (says.source.includes('in a file of')) continue;
      expect(expectRefusal(attempt(readAhead).error).message).toMatch(says);
    }
  });

  it('is refused at every length that it is cut to', () => {
    const file = encodeSafetensors(
      {
        a: { shape: [2, 2], data: new Float32Array(4) },
        b: { shape: [3], data: new Uint8Array(3) },
      },
      { k: 'v' },
    );
    for (let length = 0; length < file.length; length++)
      expectRefusal(attempt(() => decodeSafetensors(file.subarray(0, length))).error);
    expect(() => decodeSafetensors(file)).not.toThrow();
  });

  it('with bytes changed at random is read or refused, and nothing else', () => {
    const change = fc.record({
      at: fc.nat(),
      to: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('0129[]{}",:-.e\\'))),
    });
    let refused = 0;
    const property = fc.property(
      anyTensors,
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      (tensors, changes, unaligned) => {
        const file = encodeSafetensors(tensors, { 'tributary.update': '{"numExamples":1}' });
        const shift = unaligned ? 1 : 0;
        const bytes = new Uint8Array(file.length + shift).subarray(shift);
        bytes.set(file);
        for (const { at, to } of changes) bytes[at % bytes.length] = to;

        const { error, allocated } = attempt(() => decodeSafetensors(bytes));

        expect(allocated).toBeLessThanOrEqual(bytes.length);
        if (error === undefined) return;
        expectRefusal(error);
        refused++;
      },
    );
    fc.assert(property, { seed: 20260103, numRuns: 1000 });
    expect(refused).toBeGreaterThan(500);
  });

  it('with a random header is read or refused, and nothing else', () => {
    const number = fc.oneof(fc.nat(16), fc.double(), fc.maxSafeInteger(), fc.bigInt().map(String));
    const offsets = fc.oneof(fc.array(number, { maxLength: 3 }), fc.tuple(fc.nat(16), fc.nat(16)));
    const entry = fc.record(
      {
        dtype: fc.constantFrom('F32', 'U8', 'F64', 'X'),
        shape: fc.array(number, { maxLength: 3 }),
        data_offsets: offsets,
      },
      { requiredKeys: [] },
    );
    const header = fc.dictionary(fc.string(), fc.oneof(entry, fc.jsonValue()));
    const property = fc.property(header, fc.nat(24), (json, dataBytes) => {
      const bytes = fileOf(JSON.stringify(json), dataBytes);
      const { error, allocated } = attempt(() => decodeSafetensors(bytes));

      expect(allocated).toBeLessThanOrEqual(bytes.length);
      if (error !== undefined) expectRefusal(error);
    });
    fc.assert(property, { seed: 20260104, numRuns: 1000 });
  });

  it('does not smuggle control characters or long names into the error', () => {
    const name = JSON.stringify(`\u0000\u001b[31m\u009b\u202e${'n'.repeat(1e5)}`);
    const { error } = attempt(() => decodeSafetensors(fileOf(`{${name}:{}}`)));

    const refusal = expectRefusal(error);
    expect(refusal.message).toMatch(
      /^tensor "\\u0000\\u001b\[31m\\u\{9b\}\\u\{202e\}n+…": has no dtype$/,
    );
    expect(refusal.details?.tensor).toMatch(/^\\u0000\\u001b.*…$/);
  });

  it('takes no more header than its reader allows', () => {
    const file = encodeSafetensors({ w: { shape: [1], data: new Float32Array(1) } });
    const length = headerLength(file);

    expect(() => decodeSafetensors(file, length)).not.toThrow();
    expect(() => decodeSafetensors(file, length - 1)).toThrow(/at most 55 are read/);
    expect(() => headerLength(file, length - 1)).toThrow(/at most 55 are read/);
  });

  it('is refused where the length of the file is not known', () => {
    const header = new TextEncoder().encode('{}');
    for (const length of [NaN, -1, 9])
      expect(() => parseHeader(header, length)).toThrow(/a header of 2 bytes in a file of/);
    expect(() => parseHeader(header, Infinity)).toThrow(TributaryError);
    expect(parseHeader(header, 10).tensors.size).toBe(0);
  });
});
