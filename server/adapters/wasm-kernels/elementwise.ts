/** Kernels that go through vectors element by element, a tile at a time. */
import type { Kernels } from '../../core/kernels/kernels.js';
import { TILE } from '../../core/layout.js';
import type { KernelParts } from './memory.js';
import { GROUP } from './memory.js';

type Elementwise = Pick<Kernels, 'apply' | 'check' | 'combine'>;

export function elementwise(parts: KernelParts): Elementwise {
  return { apply: apply(parts), check: check(parts), combine: combine(parts) };
}

function apply({ memory: { memory, at }, exports }: KernelParts): Elementwise['apply'] {
  const values = new Float32Array(memory.buffer, at.first, TILE);
  const deltas = new Float64Array(memory.buffer, at.second, TILE);
  return (out, base, delta) => {
    for (let from = 0; from < out.length; from += TILE) {
      const n = Math.min(TILE, out.length - from);
      values.set(base.subarray(from, from + n));
      deltas.set(delta.subarray(from, from + n));
      exports.apply(at.first, at.first, at.second, n);
      out.set(values.subarray(0, n), from);
    }
  };
}

function check({ memory: { memory, at, place }, exports }: KernelParts): Elementwise['check'] {
  const squares = new Float64Array(memory.buffer, at.state, 4);
  const most = new Float32Array(memory.buffer, at.state + 32, 1);
  const pointers = new Uint32Array(memory.buffer, at.pointers, 1);
  return (into, taken, x) => {
    squares.set(into.squares);
    most[0] = into.maxAbs;
    for (let from = 0; from < x.length; from += TILE) {
      const n = Math.min(TILE, x.length - from);
      place([x], from, n);
      exports.check(at.state, (taken + from) & 3, pointers[0], n);
    }
    into.squares.set(squares);
    into.maxAbs = most[0];
  };
}

function combine({ memory: { memory, at, place }, exports }: KernelParts): Elementwise['combine'] {
  const sums = new Float64Array(memory.buffer, at.first, TILE);
  const factors = new Float64Array(memory.buffer, at.factors, GROUP);
  return (out, offset, rows, coefficients) => {
    const used = rows.map((row, k) => ({ row, coefficient: coefficients[k] }));
    const terms = used.filter(({ coefficient }) => coefficient !== 0);
    const length = rows[0]?.length ?? 0;
    for (let from = 0; from < length; from += TILE) {
      const n = Math.min(TILE, length - from);
      const target = out.subarray(offset + from, offset + from + n);
      sums.set(target);
      for (let k = 0; k < terms.length; k += GROUP) {
        const group = terms.slice(k, k + GROUP);
        const inGroup = group.map(({ row }) => row);
        place(inGroup, from, n);
        group.forEach(({ coefficient }, i) => (factors[i] = coefficient));
        exports.combine(at.first, n, at.pointers, at.factors, group.length);
      }
      target.set(sums.subarray(0, n));
    }
  };
}
