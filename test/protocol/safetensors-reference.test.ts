/**
 * Against the reference library: files that it wrote (test/fixtures/safetensors, see make.py there),
 * files of ours that it once read (write-ours.ts there), and, where this machine has it, what it
 * makes of the files that we write or refuse.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import type { SafetensorsFile, Tensor } from '../../protocol/safetensors.js';
import { anyTensors, bytesOf } from './safetensors-arbitraries.js';
import { hostileFiles } from './safetensors-hostile-files.js';
import { oursFiles } from './safetensors-ours.js';

const folder = fileURLToPath(new URL('../fixtures/safetensors/', import.meta.url));
const fixtureNames = ['dtypes', 'shapes', 'names', 'update', 'empty'];

function fixture(name: string): Uint8Array {
  return readFileSync(`${folder}${name}.safetensors`);
}

function f32(shape: number[], values: number[]): Tensor {
  return { dtype: 'F32', shape, data: new Float32Array(values) };
}

describe('a file of the reference library', () => {
  it('is read with every dtype', () => {
    const { tensors, metadata } = decodeSafetensors(fixture('dtypes'));

    expect({ ...metadata }).toEqual({ 'made by': 'safetensors – naïve \n' });
    expect({ ...tensors }).toEqual({
      bool: { dtype: 'BOOL', shape: [3], data: new Uint8Array([1, 0, 1]) },
      u8: { dtype: 'U8', shape: [3], data: new Uint8Array([0, 1, 255]) },
      i8: { dtype: 'I8', shape: [3], data: new Int8Array([-128, 0, 127]) },
      i16: { dtype: 'I16', shape: [3], data: new Int16Array([-32768, 1, 32767]) },
      u16: { dtype: 'U16', shape: [3], data: new Uint16Array([0, 1, 65535]) },
      f16: { dtype: 'F16', shape: [3], data: new Uint16Array([0x3e00, 0xc000, 0x7c00]) },
      bf16: { dtype: 'BF16', shape: [3], data: new Uint16Array([0x3fc0, 0xc000, 0x4049]) },
      i32: { dtype: 'I32', shape: [3], data: new Int32Array([-(2 ** 31), 1, 2 ** 31 - 1]) },
      u32: { dtype: 'U32', shape: [3], data: new Uint32Array([0, 1, 2 ** 32 - 1]) },
      f32: f32([3], [1.5, -0.1, NaN]),
      f64: { dtype: 'F64', shape: [3], data: new Float64Array([0.1, -1e300, 5e-324]) },
      i64: {
        dtype: 'I64',
        shape: [3],
        data: new BigInt64Array([-(2n ** 63n), 1n, 2n ** 63n - 1n]),
      },
      u64: { dtype: 'U64', shape: [3], data: new BigUint64Array([0n, 1n, 2n ** 64n - 1n]) },
    });
  });

  it('is read with scalars and tensors without elements', () => {
    expect({ ...decodeSafetensors(fixture('shapes')).tensors }).toEqual({
      scalar: f32([], [2.5]),
      vector: f32([3], [1, 2, 3]),
      'rank 5': f32([1, 2, 1, 3, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
      'no rows': f32([0], []),
      'no columns': { dtype: 'F64', shape: [2, 0, 3], data: new Float64Array(0) },
      'one byte': { dtype: 'U8', shape: [1], data: new Uint8Array([7]) },
    });
  });

  it('is read with names that need escapes or care', () => {
    const names = [
      '',
      '__proto__',
      'constructor',
      'quote " and \\',
      'tab\tnul\0',
      '模型/核',
      '😀',
      'a.b/c d',
    ];
    const { tensors } = decodeSafetensors(fixture('names'));

    expect(Object.keys(tensors).sort()).toEqual([...names].sort());
    names.forEach((name, index) => expect(tensors[name]).toEqual(f32([1], [index])));
  });

  it('is read as an update', () => {
    const { tensors, metadata } = decodeSafetensors(fixture('update'));

    expect({ ...tensors }).toEqual({
      'delta/dense/bias': f32([2], [0.25, -0.5]),
      'delta/dense/kernel': f32([3, 2], [0.125, 0.25, 0.375, 0.5, 0.625, 0.75]),
    });
    expect({ ...metadata }).toEqual({
      'tributary.update':
        '{"assignmentId":"a1","numExamples":120,"numSteps":4,"metrics":{"loss":0.5}}',
    });
  });

  it('is read without tensors', () => {
    expect(Object.keys(decodeSafetensors(fixture('empty')).tensors)).toEqual([]);
  });

  it.each(fixtureNames)('is written byte for byte the same by us: %s', (name) => {
    const { tensors, metadata } = decodeSafetensors(fixture(name));
    expect(Buffer.from(encodeSafetensors(tensors, metadata))).toEqual(fixture(name));
  });
});

describe('a file of ours that the reference library has read', () => {
  it.each(Object.entries(oursFiles))('is still what we write: %s', (name, file) => {
    expect(Buffer.from(encodeSafetensors(file.tensors, file.metadata))).toEqual(fixture(name));
    const { tensors, metadata } = decodeSafetensors(fixture(name));
    expect([{ ...tensors }, { ...metadata }]).toEqual([file.tensors, file.metadata]);
  });
});

type Reading =
  | { error: string }
  | {
      tensors: [name: string, dtype: string, shape: number[], hex: string][];
      metadata: Record<string, string>;
    };

const python = process.env.PYTHON ?? 'python3';
const found =
  spawnSync(python, ['-c', 'import safetensors, numpy'], { stdio: 'ignore' }).status === 0;
const reason = `${python} cannot import safetensors and numpy: set PYTHON to one that can`;

/** What the reference library reads in each file. */
function readByReference(files: readonly Uint8Array[]): Reading[] {
  const input = JSON.stringify(files.map((file) => Buffer.from(file).toString('base64')));
  const run = spawnSync(python, [`${folder}read.py`], {
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (run.status !== 0) throw new Error(`read.py failed: ${run.stderr}`);
  return JSON.parse(run.stdout) as Reading[];
}

/** The same form for what we read. */
function reading({ tensors, metadata }: SafetensorsFile): Reading {
  const rows = Object.entries(tensors).map(
    ([name, { dtype, shape, data }]): [string, string, number[], string] => {
      return [name, dtype, [...shape], Buffer.from(bytesOf(data)).toString('hex')];
    },
  );
  return { tensors: rows, metadata: { ...metadata } };
}

function sorted(read: Reading): Reading {
  if ('error' in read) return read;
  return {
    ...read,
    tensors: read.tensors.toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
  };
}

function ours(file: Uint8Array): Reading {
  try {
    return reading(decodeSafetensors(file));
  } catch (error) {
    return { error: String(error) };
  }
}

describe('the reference library', () => {
  it('reads the committed files of ours as we meant them', ({ skip }) => {
    skip(!found, reason);
    const read = readByReference(Object.keys(oursFiles).map(fixture));
    expect(read.map(sorted)).toEqual(Object.values(oursFiles).map((file) => sorted(reading(file))));
  });

  it('reads every file that we write as we do', ({ skip }) => {
    skip(!found, reason);
    const metadata = fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), {
      maxKeys: 3,
    });
    const contents = fc.sample(fc.tuple(anyTensors, metadata), { seed: 20260105, numRuns: 200 });

    const read = readByReference(
      contents.map(([tensors, text]) => encodeSafetensors(tensors, text)),
    );

    contents.forEach(([tensors, text], i) => {
      expect(sorted(read[i])).toEqual(sorted(reading({ tensors, metadata: text })));
    });
  });

  it('reads whatever we read, of files changed at random, as we do', ({ skip }) => {
    skip(!found, reason);
    const at = fc.nat();
    const change = fc.tuple(at, fc.constantFrom(...Buffer.from('0123456789[]{}",: -.e\\FUI\t')));
    const changed = fc
      .tuple(anyTensors, fc.array(change, { maxLength: 3 }))
      .map(([tensors, changes]) => {
        const file = encodeSafetensors(tensors, { k: 'v' });
        const header = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
        for (const [where, to] of changes) file[8 + (where % (header - 8))] = to;
        return file;
      });
    const files = fc.sample(changed, { seed: 20260106, numRuns: 1500 });
    const theirs = readByReference(files);

    const mine = files.map(ours);
    const taken = mine.flatMap((read, i) => ('error' in read ? [] : [[read, theirs[i]] as const]));
    expect(taken.length).toBeGreaterThan(300);
    for (const [read, their] of taken) expect(sorted(their)).toEqual(sorted(read));
  });

  it('refuses the hostile files too, save those where we are stricter on purpose', ({ skip }) => {
    skip(!found, reason);
    const read = readByReference(hostileFiles.map(({ bytes }) => bytes));

    const takenByReference = hostileFiles
      .filter((_, i) => !('error' in read[i]))
      .map(({ what }) => what);
    const stricter = hostileFiles.filter((file) => file.stricter).map(({ what }) => what);
    expect(takenByReference).toEqual(stricter);
  });
});
