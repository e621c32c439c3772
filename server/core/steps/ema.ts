/**
 * Exponential moving average of the checkpoints. Polyak, Juditsky: "Acceleration of Stochastic
 * Approximation by Averaging", SIAM Journal on Control and Optimization 1992; with exponential
 * weights Tarvainen, Valpola, NeurIPS 2017.
 *
 *     average = d average + (1 - d) new,   starting at the first model
 *
 * A shadow: training goes on from the plain model, and the average is read beside it
 * (`tributary model get --average`). It follows the shared tensors only, of what the rule, the
 * optimizer and the steps before it give: name it last.
 *
 * Use it where the model swings from round to round (few clients, large steps): the average is often
 * better than any checkpoint. It breaks where rounds are few: with d 0.9 it is some ten rounds late,
 * and in the first rounds it is mostly the model that the run began with.
 */
import { z } from 'zod';
import type { RuleState } from '../rules/rule.js';
import { slot } from '../optimizers/slots.js';
import type { AfterStep } from './step.js';

/** The tensor of the state that holds the average. */
const AVERAGE = 'average';

const options = z.strictObject({
  d: z.number().min(0).lt(1).default(0.9).describe('Share of the average that each round keeps.'),
});

export const ema: AfterStep<z.infer<typeof options>> = {
  name: 'ema',
  summary: 'Keeps a moving average of the checkpoints beside the model.',
  paper:
    'Polyak, Juditsky, SIAM J. Control Optim. 1992, "Acceleration of Stochastic Approximation by Averaging"',
  options,
  apply({ model, delta, state }, { d }) {
    const isFirst = !Object.hasOwn(state.tensors, AVERAGE);
    const before = isFirst ? Float64Array.from(model) : slot(state, AVERAGE, model.length, 0);
    const average = before.map((mean, i) => d * mean + (1 - d) * Math.fround(model[i] + delta[i]));
    return { delta, state: { ...state, tensors: { average } } };
  },
};

/**
 * The moving average in the state of a run, flat over the shared tensors; null where none is kept.
 * Of several, the last one's.
 */
export function averageOf({ tensors }: RuleState): Float64Array | null {
  const names = Object.keys(tensors).filter((name) => /^after\.\d+\.average$/.test(name));
  const indexOf = (name: string): number => Number(name.split('.')[1]);
  const last = names.sort((a, b) => indexOf(a) - indexOf(b)).at(-1);
  return last === undefined ? null : tensors[last];
}
