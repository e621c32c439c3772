/**
 * Model replacement (Bagdasaryan, Veit, Hua, Estrin, Shmatikov, AISTATS 2020, "How To Backdoor
 * Federated Learning"): the attacker wants the next model to be its own w_adv, and sends
 * (n/eta)(w_adv - w) + w as its parameters, so that the mean of n clients is near w_adv. Here w_adv is
 * trained on flipped labels. `eta` is the server's learning rate.
 */
import { z } from 'zod';
import type { Attack } from './attack.js';
import { flipped } from './label-flip.js';

const parameters = z.strictObject({
  eta: z.number().positive().default(1),
  /** By default n / eta. */
  boost: z.number().positive().optional(),
});

export const modelReplacement: Attack<z.infer<typeof parameters>> = {
  name: 'model-replacement',
  summary: 'trains on labels C-1-y and sends its update n/eta times as large',
  paper: 'Bagdasaryan et al., AISTATS 2020, "How To Backdoor Federated Learning"',
  parameters,
  poison: (data, classes) => flipped(data, classes),
  forge({ own, clients }, { eta, boost = clients / eta }) {
    return own.map((value) => boost * value);
  },
};
