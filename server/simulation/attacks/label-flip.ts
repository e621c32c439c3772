/**
 * Label flip (Biggio, Nelson, Laskov, ICML 2012, "Poisoning Attacks against Support Vector Machines";
 * in this form Fang et al., USENIX Security 2020): y -> C - 1 - y in all of the attacker's examples.
 * Training and upload are honest, so the update has an honest size.
 */
import { z } from 'zod';
import type { Dataset } from '../../../client/tfjs/dataset.js';
import type { Attack } from './attack.js';

const parameters = z.strictObject({});

export const labelFlip: Attack<z.infer<typeof parameters>> = {
  name: 'label-flip',
  summary: 'trains honestly on labels C-1-y',
  paper: 'Biggio, Nelson, Laskov, ICML 2012, "Poisoning Attacks against Support Vector Machines"',
  parameters,
  poison: (data, classes) => flipped(data, classes),
};

/** The same examples with class y called C - 1 - y. */
export function flipped(data: Dataset, classes: number): Dataset {
  return { ...data, labels: Int32Array.from(data.labels, (label) => classes - 1 - label) };
}
