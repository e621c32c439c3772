/**
 * The domain-shift story of the demonstration: sources hold many upright digits, the target holds a
 * few turned ones, and only turned ones count (after Jiang et al., ICLR 2024).
 */
import type { Dataset } from '../../client/tfjs/dataset.js';
import { subset } from '../../client/tfjs/dataset.js';
import { TributaryError } from '../../protocol/errors.js';
import { randomStream, shuffled } from '../core/random.js';
import { DIGIT_SIDE } from './digits.js';
import { rotateImages } from './rotate.js';

export interface DomainShift {
  /** Upright. */
  readonly sources: readonly Dataset[];
  /** Turned, as is the test set. */
  readonly target: Dataset;
  readonly test: Dataset;
}

export interface DomainShiftOptions {
  readonly sources: number;
  readonly perSource: number;
  readonly target: number;
  readonly test: number;
  /** Counter-clockwise. */
  readonly degrees: number;
}

const defaults: DomainShiftOptions = {
  sources: 5,
  perSource: 800,
  target: 100,
  test: 2000,
  degrees: 45,
};

/**
 * Deals digits to sources, target and test set by seed; no digit goes to two of them.
 * @throws TributaryError `bad_request` where there are too few digits.
 */
export function turnedDigits(
  digits: Dataset,
  seed: number,
  options: Partial<DomainShiftOptions> = {},
): DomainShift {
  const { sources, perSource, target, test, degrees } = { ...defaults, ...options };
  const needed = sources * perSource + target + test;
  if (needed > digits.size) {
    throw new TributaryError('bad_request', `${needed} digits are needed, of ${digits.size}`);
  }
  const everything = Array.from({ length: digits.size }, (_, i) => i);
  const order = shuffled(everything, randomStream(seed, 'domain-shift'));
  const deal = (count: number): Dataset => subset(digits, order.splice(0, count));
  // The test set first: other numbers of clients then leave it as it is.
  return {
    test: turned(deal(test), degrees),
    target: turned(deal(target), degrees),
    sources: Array.from({ length: sources }, () => deal(perSource)),
  };
}

function turned(digits: Dataset, degrees: number): Dataset {
  const size = { width: DIGIT_SIDE, height: DIGIT_SIDE };
  return { ...digits, features: rotateImages(digits.features, size, degrees) };
}
