/**
 * Lengths and distances of a round's updates from their inner products alone: vectors are never
 * held. A point of their span is named by its coefficients, v = sum_i c_i D_i.
 */
import type { DELTA } from '../../../../protocol/update.js';
import type { Questions } from '../families/workspace.js';

type Updates = Pick<Questions<typeof DELTA>, 'updates' | 'gram'>;

/** products[i][j] = <D_i, D_j>, updates in client-id order. */
export type Products = readonly Float64Array[];

/** The inner products of all deltas, whole. */
export async function productsOf(x: Updates): Promise<Products> {
  const places = x.updates.map((_, update) => ({ update }));
  const [gram] = await x.gram('model', places);
  const products = places.map(() => new Float64Array(places.length));
  for (let i = 0; i < places.length; i++) {
    for (let j = 0; j <= i; j++) {
      const product = gram.dot(places[i], places[j]);
      products[i][j] = product;
      products[j][i] = product;
    }
  }
  return products;
}

/** |D_i| of every update. */
export function lengths(products: Products): number[] {
  return products.map((row, i) => Math.sqrt(row[i]));
}

/** |D_i - D_j|^2. Not under zero: equal updates may come out at -1e-16. */
export function squaredDistances(products: Products): Products {
  return products.map((row, i) =>
    row.map((product, j) =>
      i === j ? 0 : Math.max(0, row[i] + products[j][j] - (product + product)),
    ),
  );
}

/** |D_i - v| of every update, for v = sum_i c_i D_i. */
export function distancesFrom(coefficients: readonly number[], products: Products): number[] {
  const along = products.map((row) => weighted(coefficients, row));
  const squared = weighted(coefficients, along);
  return products.map((row, i) => Math.sqrt(Math.max(0, row[i] - 2 * along[i] + squared)));
}

function weighted(coefficients: readonly number[], values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < coefficients.length; i++) total += coefficients[i] * values[i];
  return total;
}

/** 1 - cosine; 1 from an update that is all zero, which points nowhere. */
export function cosineDistances(products: Products): Products {
  const norms = lengths(products);
  return products.map((row, i) =>
    row.map((product, j) => {
      const both = norms[i] * norms[j];
      if (i === j) return 0;
      return both > 0 ? Math.max(0, 1 - product / both) : 1;
    }),
  );
}
