/**
 * Greedy soup. Wortsman et al.: "Model soups: averaging weights of multiple fine-tuned models improves
 * accuracy without increasing inference time", ICML 2022.
 *
 *     new = mean of the models that were kept
 *
 * Models are tried from the best by themselves to the worst; one is kept where the mean of those kept
 * and it is not worse on the held-out set. By the oracle's loss, where the paper takes the accuracy:
 * a small proxy set ties too often. Asks the oracle 2K - 1 times. A model without a finite loss is
 * never kept.
 *
 * Use it where some models are bad and held-out examples are there: it is never worse on them than
 * the best single model. It breaks by fitting the held-out set when that is small, and with clients
 * on unlike data, none of which is good alone though their mean would be.
 */
import { z } from 'zod';
import { judgeAlone, lossOfMean, meanOf } from './combination/alone.js';
import { combinationRule } from './families/combination.js';

export const soupGreedy = combinationRule({
  name: 'soup-greedy',
  summary: 'The mean of the models that do not make the mean worse on held-out data.',
  paper:
    'Wortsman et al., ICML 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time"',
  options: z.strictObject({}),
  needs: { oracle: true },
  async combine(x) {
    const { losses, order } = await judgeAlone('soup-greedy', x);
    let [kept, loss] = [[order[0]], losses[order[0]]];
    for (const candidate of order.slice(1)) {
      const tried = [...kept, candidate];
      const next = await lossOfMean('soup-greedy', x, tried);
      if (next <= loss) [kept, loss] = [tried, next];
    }
    const diagnostics = {
      kept: kept.length,
      proxyLossBest: losses[order[0]],
      proxyLossAfter: loss,
    };
    return { coefficients: meanOf(x, kept), diagnostics };
  },
});
