/**
 * The kernels in plain TypeScript: what every faster implementation is compared with, bit by bit,
 * and what works where there is none.
 */
import type { Kernels } from './kernels.js';
import { apply, check, combine } from './reference/elementwise.js';
import { finish, fold, merge } from './reference/fixed-point.js';
import { gram } from './reference/gram.js';
import { rankMean } from './reference/rank-mean.js';

export const referenceKernels: Kernels = {
  rows: (count, length) => Array.from({ length: count }, () => new Float32Array(length)),
  release: () => undefined,
  fold,
  merge,
  finish,
  apply,
  check,
  gram,
  rankMean,
  combine,
};
