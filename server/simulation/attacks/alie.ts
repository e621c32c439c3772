/**
 * A Little Is Enough (Baruch, Baruch, Goldberg, NeurIPS 2019): mean + z * std of the benign updates,
 * coordinate by coordinate, z the largest shift that still has a majority on its far side:
 * z = Phi^-1((n - f - s) / (n - f)), s = floor(n/2) + 1 - f the benign clients that must be won over.
 * Every attacker sends the same.
 */
import { z } from 'zod';
import { TributaryError } from '../../../protocol/errors.js';
import { normalQuantile } from '../normal.js';
import type { Attack, AttackView } from './attack.js';
import { benignMoments } from './attack.js';

const parameters = z.strictObject({
  /** By default what the paper's formula gives for n and f. */
  z: z.number().optional(),
});

export const alie: Attack<z.infer<typeof parameters>> = {
  name: 'alie',
  summary: 'sends mean + z * std of the benign updates: a little, everywhere',
  paper: 'Baruch, Baruch, Goldberg, NeurIPS 2019, "A Little Is Enough"',
  parameters,
  forge(view, { z: given }) {
    const shift = given ?? alieShift(view);
    const { mean, deviation } = benignMoments(view.benign);
    return Float32Array.from(mean, (value, i) => value + shift * deviation[i]);
  },
};

/** @throws TributaryError `bad_request` where the attackers are a majority, or nearly everybody. */
export function alieShift({
  clients,
  attackers,
}: Pick<AttackView, 'clients' | 'attackers'>): number {
  const benign = clients - attackers;
  const needed = Math.floor(clients / 2) + 1 - attackers;
  if (needed > 0 && needed < benign) return normalQuantile((benign - needed) / benign);
  const message = `attack "alie": there is no z for ${attackers} attackers of ${clients}: give it as "z"`;
  throw new TributaryError('bad_request', message);
}
