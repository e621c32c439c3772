/**
 * Krum's score of an update: the sum of squared distances to its nearest neighbours. It is low in
 * the midst of many, and honest updates are the many.
 */
import type { DELTA } from '../../../../protocol/update.js';
import type { Questions } from '../families/workspace.js';
import { assumedAttackers } from './attackers.js';
import type { Products } from './geometry.js';
import { productsOf, squaredDistances } from './geometry.js';
import { lowest, scoreDiagnostics, selectionDiagnostics } from './selection.js';

/** The score of one update among those that are there. */
export type KrumScore = (update: number, isThere: Uint8Array, neighbours: number) => number;

/**
 * Bulyan asks for scores again and again among fewer updates, so neighbours are sorted only once.
 * @param distances squared, between all updates
 */
export function krumScore(distances: Products): KrumScore {
  const others = distances.map((row, update) => {
    const places = Int32Array.from(row.keys()).filter((other) => other !== update);
    return places.sort((a, b) => row[a] - row[b] || a - b);
  });
  return (update, isThere, neighbours) => {
    const [row, nearest] = [distances[update], others[update]];
    let score = 0;
    for (let i = 0, left = neighbours; i < nearest.length && left > 0; i++) {
      if (isThere[nearest[i]] === 0) continue;
      score += row[nearest[i]];
      left -= 1;
    }
    return score;
  };
}

/** The updates with the lowest scores among n - f - 2 neighbours, `select` of them for n and f. */
export async function bestByKrum(
  x: Pick<Questions<typeof DELTA>, 'updates' | 'gram'>,
  attackers: number,
  select: (n: number, f: number) => number,
): Promise<{ selected: readonly number[]; diagnostics: Record<string, number> }> {
  const n = x.updates.length;
  const f = assumedAttackers(attackers, n);
  const score = krumScore(squaredDistances(await productsOf(x)));
  const everybody = new Uint8Array(n).fill(1);
  const scores = x.updates.map((_, update) => score(update, everybody, n - f - 2));
  const selected = lowest(scores, select(n, f));
  const diagnostics = {
    attackers: f,
    ...selectionDiagnostics(selected.length, n),
    ...scoreDiagnostics(scores),
  };
  return { selected, diagnostics };
}
