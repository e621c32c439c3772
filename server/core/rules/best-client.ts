/**
 * Best client, a control: the model of the one client that does best on the proxy set.
 *
 *     new = w_i,   i = argmin L(w_i)
 *
 * The loss L is the oracle's; equal losses are decided by the order of client ids. The best single
 * model of Wortsman et al., "Model soups", ICML 2022: it asks why one should federate at all.
 *
 * Use it in comparisons: a rule that does not beat it gains nothing from the other clients. It breaks
 * as a way to train, since each round throws away what all others learned.
 */
import { z } from 'zod';
import { judgeAlone, meanOf } from './combination/alone.js';
import { combinationRule } from './families/combination.js';

export const bestClient = combinationRule({
  name: 'best-client',
  summary: 'Control: the model of the one client with the lowest proxy loss.',
  paper:
    'a control: the best single model of Wortsman et al., ICML 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time"',
  control: true,
  options: z.strictObject({}),
  needs: { oracle: true },
  async combine(x) {
    const { losses, order } = await judgeAlone('best-client', x);
    const finite = losses.filter(Number.isFinite);
    const mean = finite.reduce((sum, loss) => sum + loss, 0) / finite.length;
    return {
      coefficients: meanOf(x, [order[0]]),
      diagnostics: { proxyLossBest: losses[order[0]], proxyLossMean: mean, best: order[0] },
    };
  },
});
