import { coordinateRule } from 'tributary-fl';
import { z } from 'zod';

/** The mean of the few values in the middle of each coordinate: between the median and the mean. */
export default coordinateRule({
  name: 'middle-mean',
  summary: 'The mean of the values in the middle of each coordinate.',
  paper: 'an example of docs/write-a-rule.md, 2026',
  options: z.strictObject({ keep: z.int().positive().default(3) }),
  statistic({ values }, { keep }) {
    const kept = Math.min(keep, values.length);
    const from = Math.floor((values.length - kept) / 2);
    return { from, to: from + kept };
  },
});
