/**
 * Proxy only, a control: the coordinator trains on the proxy set and never looks at the updates.
 *
 *     new = w after `epochs` of gradient descent on the oracle's batches, in their order
 *
 * on the proxy set of Li, Lin, Shang, Wu: "Revisiting Weighted Aggregation in Federated Learning with
 * Neural Networks", ICML 2023, say.
 *
 * Use it in comparisons of rules that use a proxy set: one that does not beat it has learned the
 * proxy set and not from the clients. It breaks, as training on 200 examples does, by learning them
 * by heart.
 */
import { z } from 'zod';
import { generalRule } from './combination/general.js';
import { meanLoss, oracleOf, proxyTraining, trainOnProxy } from './combination/proxy.js';

export const proxyOnly = generalRule({
  name: 'proxy-only',
  summary: 'Control: trains on the proxy set alone and ignores the updates.',
  paper:
    'a control, on the proxy set of Li et al., ICML 2023, "Revisiting Weighted Aggregation in Federated Learning with Neural Networks"',
  control: true,
  options: z.strictObject(proxyTraining),
  needs: { oracle: true },
  async aggregate(updates, { options, model, state, oracle }) {
    const proxy = oracleOf('proxy-only', oracle);
    const delta = await trainOnProxy('proxy-only', proxy, model, options);
    const after = Float32Array.from(model, (value, e) => value + delta[e]);
    return {
      delta,
      state,
      weights: Object.fromEntries(updates.map(({ clientId }) => [clientId, 0])),
      diagnostics: {
        proxyLossBefore: await meanLoss('proxy-only', proxy, model),
        proxyLossAfter: await meanLoss('proxy-only', proxy, after),
      },
    };
  },
});
