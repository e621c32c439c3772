/** The registry of attacks: a new one is one file beside this one and one line in the list. */
import { TributaryError } from '../../../protocol/errors.js';
import { suggestion } from '../../core/suggest.js';
import { alie } from './alie.js';
import type { AnyAttack } from './attack.js';
import { ipm } from './ipm.js';
import { labelFlip } from './label-flip.js';
import { minMax } from './min-max.js';
import { modelReplacement } from './model-replacement.js';
import { noise } from './noise.js';
import { signFlip } from './sign-flip.js';

const all: readonly AnyAttack[] = [signFlip, noise, alie, ipm, minMax, modelReplacement, labelFlip];

export const attacks: ReadonlyMap<string, AnyAttack> = new Map(
  all.map((attack) => [attack.name, attack]),
);

/** @throws TributaryError `bad_request`, suggesting the nearest name. */
export function findAttack(name: string): AnyAttack {
  const attack = attacks.get(name);
  if (attack) return attack;
  throw new TributaryError(
    'bad_request',
    `there is no attack "${name}"${suggestion(name, attacks.keys())}`,
  );
}
