/**
 * FedAvg. McMahan, Moore, Ramage, Hampson, Agüera y Arcas: "Communication-Efficient Learning of
 * Deep Networks from Decentralized Data", AISTATS 2017.
 *
 *     new = w + sum_i p_i D_i,   p_i = n_i / sum n
 *
 * Use it first: nothing else is as cheap, as well understood, or as hard to beat where clients'
 * data are alike. It breaks where they differ much (client drift), where the number of examples
 * says little about their worth, and where a client may lie: n_i is the client's own claim, bounded
 * only by the cap on weights.
 */
import { z } from 'zod';
import { linearRule } from './families/linear.js';

/** Examples of one update, at most, unless the run's caps say otherwise. */
export const EXAMPLES_MAX = 131_072;

export const fedavg = linearRule({
  name: 'fedavg',
  summary: 'The mean of the updates, each counted by its number of examples.',
  paper:
    'McMahan et al., AISTATS 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data"',
  options: z.strictObject({}),
  weightMax: () => EXAMPLES_MAX,
  weigh: ({ numExamples }) => numExamples,
});
