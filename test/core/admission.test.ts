import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../protocol/errors.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import type { TensorSpec } from '../../protocol/model.js';
import {
  MAX_EXAMPLES,
  VectorScan,
  checkCaps,
  checkReported,
  checkTensors,
  maxUpdateBytes,
} from '../../server/core/admission.js';
import type { HeaderEntry } from '../../server/core/admission/tensors.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import type { VectorNeed } from '../../server/core/rules/rule.js';
import { layoutFor } from './round.js';

const spec = (name: string, shape: number[], role: TensorSpec['role'] = 'shared'): TensorSpec => ({
  name,
  shape,
  dtype: 'float32',
  role,
});
const specs = [
  spec('dense/kernel', [3, 2]),
  spec('dense/bias', [2]),
  spec('temperature', []),
  spec('none', [0, 4]),
  spec('norm/mean', [2], 'buffer'),
  spec('head', [2], 'local'),
  spec('embedding', [9], 'frozen'),
];
const batch: VectorNeed = { name: 'batch', roles: ['target'], many: true };
const control: VectorNeed = { name: 'control', roles: ['source'], many: false };

const f32 = (shape: readonly number[]): HeaderEntry => ({ dtype: 'F32', shape });
const shared = { 'dense/kernel': [3, 2], 'dense/bias': [2], temperature: [], none: [0, 4] };

function vector(name: string): [string, HeaderEntry][] {
  return Object.entries(shared).map(([tensor, shape]) => [`${name}/${tensor}`, f32(shape)]);
}
function upload(...more: [string, HeaderEntry][]): Map<string, HeaderEntry> {
  return new Map([...vector('delta'), ['delta/norm/mean', f32([2])], ...more]);
}
function without(entries: Map<string, HeaderEntry>, key: string): Map<string, HeaderEntry> {
  return new Map([...entries].filter(([name]) => name !== key));
}
function refused(code: ErrorCode, message: RegExp): unknown {
  return expect.objectContaining({ code, message: expect.stringMatching(message) as string });
}

describe('the tensors of an update', () => {
  it('are every shared tensor and buffer of the task, and none that stays on the client', () => {
    expect(checkTensors(upload(), specs, [])).toEqual([]);
  });

  it('come with the auxiliary vectors that the rule asks for, families in order', () => {
    const members = [2, 0, 1, 10, 3, 4, 5, 6, 7, 8, 9].flatMap((j) => vector(`batch.${j}`));
    const entries = upload(...vector('control'), ...members);
    expect(checkTensors(entries, specs, [control, batch])).toEqual([
      'control',
      ...Array.from({ length: 11 }, (_, j) => `batch.${j}`),
    ]);
  });

  it.each<[string, Map<string, HeaderEntry>, readonly VectorNeed[], ErrorCode, RegExp]>([
    ['nothing at all', new Map(), [], 'wrong_tensors', /"delta\/dense\/kernel" is missing/],
    [
      'a tensor too few',
      without(upload(), 'delta/dense/bias'),
      [],
      'wrong_tensors',
      /"delta\/dense\/bias" is missing/,
    ],
    [
      'a buffer too few',
      without(upload(), 'delta/norm/mean'),
      [],
      'wrong_tensors',
      /norm\/mean" is missing/,
    ],
    [
      'a tensor too many',
      upload(['delta/other', f32([1])]),
      [],
      'wrong_tensors',
      /"delta\/other" is not asked/,
    ],
    [
      'a local tensor',
      upload(['delta/head', f32([2])]),
      [],
      'wrong_tensors',
      /"delta\/head" is not asked/,
    ],
    [
      'a frozen tensor',
      upload(['delta/embedding', f32([9])]),
      [],
      'wrong_tensors',
      /embedding" is not asked/,
    ],
    [
      'a tensor of no vector',
      upload(['dense', f32([2])]),
      [],
      'wrong_tensors',
      /"dense" is not asked/,
    ],
    ['a vector that nobody wants', upload(...vector('batch.0')), [], 'wrong_tensors', /"batch.0\//],
    [
      'a missing vector',
      upload(),
      [control],
      'missing_vector',
      /"control\/dense\/kernel" is missing/,
    ],
    [
      'a vector without one tensor',
      without(upload(...vector('control')), 'control/none'),
      [control],
      'missing_vector',
      /"control\/none" is missing/,
    ],
    ['an empty family', upload(), [batch], 'missing_vector', /"batch.0\/dense\/kernel" is missing/],
    [
      'a family of one where two are needed',
      upload(...vector('batch.0')),
      [{ ...batch, fewest: 2 }],
      'missing_vector',
      /"batch.1\/dense\/kernel" is missing/,
    ],
    [
      'a family with a gap',
      upload(...vector('batch.0'), ...vector('batch.2')),
      [batch],
      'missing_vector',
      /"batch.1\//,
    ],
    [
      'a member with a leading zero',
      upload(...vector('batch.0'), ...vector('batch.01')),
      [batch],
      'wrong_tensors',
      /"batch.01\//,
    ],
    [
      'a member below zero',
      upload(...vector('batch.0'), ...vector('batch.-1')),
      [batch],
      'wrong_tensors',
      /"batch.-1\//,
    ],
    [
      'a buffer in a vector',
      upload(...vector('control'), ['control/norm/mean', f32([2])]),
      [control],
      'wrong_tensors',
      /"control\/norm\/mean" is not asked/,
    ],
  ])('are refused with %s', (_, entries, needs, code, message) => {
    expect(() => checkTensors(entries, specs, needs)).toThrow(refused(code, message));
  });

  it.each([
    ['dense/kernel', [2, 3]],
    ['dense/kernel', [6]],
    ['dense/kernel', [3, 2, 1]],
    ['dense/bias', [1]],
    ['dense/bias', []],
    ['temperature', [1]],
    ['none', [0]],
    ['none', [4, 0]],
  ])('are never broadcast or reshaped: %s as %j', (tensor, shape) => {
    const entries = upload([`delta/${tensor}`, f32(shape)]);
    expect(() => checkTensors(entries, specs, [])).toThrow(
      refused('wrong_shape', new RegExp(`"delta/${tensor}" has the shape`)),
    );
  });

  it('are float32', () => {
    for (const dtype of ['F64', 'F16', 'I32', '__proto__']) {
      const entries = upload(['delta/dense/bias', { dtype, shape: [2] }]);
      expect(() => checkTensors(entries, specs, [])).toThrow(
        refused('wrong_dtype', new RegExp(`"delta/dense/bias" is ${dtype}`)),
      );
    }
  });

  it('are bounded in number', () => {
    const one = [spec('w', [1])];
    const members = (count: number): Map<string, HeaderEntry> =>
      new Map(
        ['delta', ...Array.from({ length: count }, (_, j) => `batch.${j}`)].map((name) => [
          `${name}/w`,
          f32([1]),
        ]),
      );
    expect(checkTensors(members(4096), one, [batch])).toHaveLength(4096);
    expect(() => checkTensors(members(4097), one, [batch])).toThrow(
      refused('over_cap', /4097 vectors "batch\.\*"; at most 4096/),
    );
  });

  it('are named in the error, however long and odd the name', () => {
    const entries = upload([`delta/${'\n"'.repeat(5000)}`, f32([1])]);
    expect(() => checkTensors(entries, specs, [])).toThrow(/^[^\n]{1,999}$/);
  });
});

describe('the greatest length of an upload', () => {
  it('is never below what an honest client sends', () => {
    const odd = [...specs, spec('\u0001'.repeat(256), [5])];
    const members = 300;
    const tensors = Object.fromEntries(
      ['delta', ...Array.from({ length: members }, (_, j) => `batch.${j}`)].flatMap((name) =>
        odd
          .filter(({ role }) => role === 'shared' || (role === 'buffer' && name === 'delta'))
          .map((s) => {
            const count = s.shape.reduce((a, b) => a * b, 1);
            return [`${name}/${s.name}`, { shape: s.shape, data: new Float32Array(count) }];
          }),
      ),
    ) as Parameters<typeof encodeSafetensors>[0];
    const bytes = encodeSafetensors(tensors, { 'tributary.update': 'x'.repeat(10_000) });
    expect(bytes.length).toBeLessThan(maxUpdateBytes(odd, [batch]));
  });

  it('grows with the vectors that are asked for, and stays finite for great models', () => {
    const great = [spec('w', [50_000_000])];
    expect(maxUpdateBytes(great, [])).toBeGreaterThan(200e6);
    expect(maxUpdateBytes(great, [])).toBeLessThan(200.1e6);
    expect(maxUpdateBytes(great, [control])).toBeGreaterThan(400e6);
    expect(maxUpdateBytes(great, [batch])).toBeLessThan(5e9);
    expect(maxUpdateBytes([spec('w', [1_000_000_000])], [batch])).toBeGreaterThan(12e9);
  });
});

describe('the scan of a vector', () => {
  const tiles = (values: Float32Array, cut: number): Float32Array[] =>
    Array.from({ length: Math.ceil(values.length / cut) }, (_, i) =>
      values.subarray(i * cut, (i + 1) * cut),
    );
  const scanned = (values: Float32Array, cut: number): VectorScan => {
    const scan = new VectorScan('delta', referenceKernels, layoutFor(0, { a: 3, b: 97 }));
    for (const tile of tiles(values, cut)) scan.add(tile);
    return scan;
  };

  it('finds norm and greatest value, the same however the vector is cut', () => {
    const values = Float32Array.from(
      { length: 100 },
      (_, i) => (i % 2 ? -1 : 1) * Math.sqrt(i) * 0.1,
    );
    const whole = scanned(values, 100);
    expect(whole.norm).toBeCloseTo(Math.sqrt(49.5), 6);
    expect(whole.maxAbs).toBe(Math.fround(Math.sqrt(99) * 0.1));
    for (const cut of [1, 7, 33]) {
      expect([scanned(values, cut).norm, scanned(values, cut).maxAbs]).toEqual([
        whole.norm,
        whole.maxAbs,
      ]);
    }
  });

  it('neither overflows nor vanishes at the ends of float32', () => {
    expect(scanned(new Float32Array(100).fill(3e38), 9).norm).toBeCloseTo(
      10 * Math.fround(3e38),
      -30,
    );
    expect(scanned(new Float32Array(100).fill(2 ** -149), 9).norm).toBeCloseTo(10 * 2 ** -149, 60);
    const nothing = new VectorScan('delta', referenceKernels);
    expect([nothing.norm, nothing.maxAbs]).toEqual([0, 0]);
  });

  it.each([
    [NaN, 2, 'element 2 of "delta/a" is NaN'],
    [Infinity, 3, 'element 0 of "delta/b" is Infinity'],
    [-Infinity, 99, 'element 96 of "delta/b" is -Infinity'],
  ])('refuses %f, naming the element', (bad, at, message) => {
    const values = new Float32Array(100);
    values[at] = bad;
    for (const cut of [1, 8, 100]) {
      expect(() => scanned(values, cut)).toThrow(refused('not_finite', new RegExp(`^${message}$`)));
    }
    const scan = new VectorScan('batch.0', referenceKernels);
    expect(() => scan.add(values)).toThrow(`element ${at} of "batch.0" is`);
  });
});

describe('the facts of an update', () => {
  const good = { assignmentId: 'a1', numExamples: 5, numSteps: 2, metrics: { loss: 0.5 } };

  it('are taken where they make sense', () => {
    expect(() => checkReported(good, 'a1')).not.toThrow();
    expect(() => checkReported({ ...good, numExamples: MAX_EXAMPLES }, 'a1')).not.toThrow();
  });

  it.each([
    [{ assignmentId: 'a2' }, 'bad_facts', /another assignment/],
    [{ numExamples: 0 }, 'bad_facts', /numExamples is 0/],
    [{ numExamples: 1.5 }, 'bad_facts', /numExamples is 1.5/],
    [{ numSteps: -1 }, 'bad_facts', /numSteps is -1/],
    [{ numSteps: 2 ** 60 }, 'bad_facts', /numSteps/],
    [{ metrics: { loss: NaN } }, 'bad_facts', /"loss" is NaN/],
    [{ numExamples: MAX_EXAMPLES + 1 }, 'over_cap', /numExamples/],
  ] as const)('are refused with %o', (change, code, message) => {
    expect(() => checkReported({ ...good, ...change }, 'a1')).toThrow(refused(code, message));
  });

  it.each([
    [8.5, 1, 'over_cap', /8.5, over the run's caps.deltaMax of 8/],
    [NaN, 1, 'over_cap', /NaN/],
    [1, 101, 'over_cap', /weight is 101, over the run's caps.weightMax of 100/],
    [1, NaN, 'bad_facts', /weight NaN/],
    [1, -1, 'bad_facts', /weight -1/],
    [1, Infinity, 'bad_facts', /weight Infinity/],
    [9, undefined, 'over_cap', /deltaMax/],
  ] as const)(
    'are refused where the fold could overflow: %f, weight %s',
    (maxAbs, weight, code, message) => {
      const caps = { weightMax: 100, deltaMax: 8 };
      expect(() => checkCaps(maxAbs, weight, caps)).toThrow(refused(code, message));
    },
  );

  it('may stand exactly at the caps', () => {
    const caps = { weightMax: 100, deltaMax: 8 };
    expect(() => checkCaps(8, 100, caps)).not.toThrow();
    expect(() => checkCaps(8, undefined, caps)).not.toThrow();
  });
});
