/**
 * Proxy fine-tuning, a control: FedAvg, and then training on the proxy set from there.
 *
 *     new = v after `epochs` of gradient descent on the oracle's batches,   v = w + sum_i p_i D_i
 *
 * on the proxy set of Li, Lin, Shang, Wu: "Revisiting Weighted Aggregation in Federated Learning with
 * Neural Networks", ICML 2023, say.
 *
 * Use it in comparisons of rules that use a proxy set: the simplest thing that can be done with one.
 * It breaks by fitting the proxy set: with many epochs it forgets what the clients knew and it does
 * not. Epochs 0 is FedAvg, bit for bit. The weights given are FedAvg's.
 */
import { z } from 'zod';
import { meanLoss, oracleOf, proxyTraining, trainOnProxy } from './combination/proxy.js';
import type { ProxyTraining } from './combination/proxy.js';
import type { LinearSum } from './families/linear-sum.js';
import { fedavg } from './fedavg.js';
import type { AggregationRule, RuleContext } from './rule.js';

/** What FedAvg is told of the round: it has no options. */
function plain(ctx: RuleContext<ProxyTraining>): RuleContext<Record<string, never>> {
  return { ...ctx, options: {} };
}

export const proxyFinetune: AggregationRule<ProxyTraining, LinearSum> = {
  name: 'proxy-finetune',
  summary: 'Control: FedAvg, then gradient steps on the proxy set.',
  paper:
    'a control, on the proxy set of Li et al., ICML 2023, "Revisiting Weighted Aggregation in Federated Learning with Neural Networks"',
  control: true,
  options: z.strictObject(proxyTraining),
  family: 'general',
  needs: { oracle: true },
  minUpdates: () => 1,
  weightMax: () => fedavg.weightMax!({}),
  weightOf: (facts, _, state) => fedavg.weightOf!(facts, {}, state),
  begin: (ctx) => fedavg.begin(plain(ctx)),
  accumulate: (acc, update, ctx) => fedavg.accumulate(acc, update, plain(ctx)),
  async finish(acc, ctx) {
    const proxy = oracleOf('proxy-finetune', ctx.oracle);
    const mean = await fedavg.finish(acc, plain(ctx));
    const moved = (delta: Float64Array): Float32Array =>
      Float32Array.from(ctx.model, (value, e) => value + delta[e]);
    const start = moved(mean.delta);
    const tuned = await trainOnProxy('proxy-finetune', proxy, start, ctx.options);
    const delta = mean.delta.map((value, e) => value + tuned[e]);
    return {
      ...mean,
      delta,
      diagnostics: {
        proxyLossBefore: await meanLoss('proxy-finetune', proxy, start),
        proxyLossAfter: await meanLoss('proxy-finetune', proxy, moved(delta)),
      },
    };
  },
};
