/**
 * BCWI, backward-compatible weight interpolation. Schumann, Mansimov, Lai, Pappas, Gao, Zhang:
 * "Backward Compatibility During Data Updates by Weight Interpolation", EACL 2024.
 *
 *     new = a old + (1 - a) new
 *
 * old is the model of the round before. Use it where a model that is in service must not begin to
 * fail on what it got right: the larger a, the fewer such regressions. It breaks patience: each round
 * moves by 1 - a of what was learned, which is a smaller server learning rate in all but name.
 */
import { z } from 'zod';
import type { AfterStep } from './step.js';

const options = z.strictObject({
  a: z.number().min(0).lt(1).default(0.5).describe('Share of the old model that is kept.'),
});

export const bcwi: AfterStep<z.infer<typeof options>> = {
  name: 'bcwi',
  summary: 'Goes only part of the way from the old model to the new one.',
  paper:
    'Schumann et al., EACL 2024, "Backward Compatibility During Data Updates by Weight Interpolation"',
  options,
  apply: ({ delta, state }, { a }) => ({ delta: delta.map((d) => (1 - a) * d), state }),
};
