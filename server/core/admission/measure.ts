/** Vectors that measure parameters (Fisher information): never negative, of any size. */
import { TributaryError } from '../../../protocol/errors.js';
import type { Layout } from '../layout.js';
import { memberIndex } from '../rules/families/vectors.js';
import type { VectorNeed } from '../rules/rule.js';
import { placeOf } from './place.js';

/** Whether the rule asks for this vector as a measure. */
export function isMeasure(vector: string, needs: readonly VectorNeed[]): boolean {
  return needs.some(
    ({ name, many, measure }) =>
      measure && (many ? memberIndex(vector, name) !== null : vector === name),
  );
}

/**
 * @param start where the tile begins in the vector
 * @throws TributaryError `bad_facts`, naming the element: one negative value in a sum that is divided
 * by could send a parameter anywhere.
 */
export function checkMeasure(
  tile: Float32Array,
  vector: string,
  start: number,
  layout?: Layout,
): void {
  const at = tile.findIndex((value) => !(value >= 0));
  if (at < 0) return;
  const message = `${placeOf(vector, start + at, layout)} is ${tile[at]}; no value may be negative`;
  throw new TributaryError('bad_facts', message, { vector });
}
