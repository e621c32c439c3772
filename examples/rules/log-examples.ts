import { linearRule, log } from 'tributary-fl';
import { z } from 'zod';

/** Counts a client by the logarithm of its examples: twice the data is one more voice, not two. */
export default linearRule({
  name: 'log-examples',
  summary: 'The mean, each update counted by the logarithm of its examples.',
  paper: 'an example of docs/write-a-rule.md, 2026',
  options: z.strictObject({
    unit: z.number().positive().default(1).describe('So many examples make the first voice.'),
  }),
  weightMax: () => 32,
  weigh: ({ numExamples }, { options }) => log(1 + numExamples / options.unit),
});
