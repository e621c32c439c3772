/**
 * FLTrust. Cao, Fang, Liu, Gong: "FLTrust: Byzantine-robust Federated Learning via Trust
 * Bootstrapping", NDSS 2021.
 *
 *     new = w + sum_i t_i (|D_0| / |D_i|) D_i / sum_i t_i,   t_i = max(0, cos(D_i, D_0))
 *
 * D_0 is the coordinator's own update: gradient steps from w over the batches of the root data, which
 * is the run's oracle. An update's direction earns it trust and its length is D_0's. Where nobody is
 * trusted the model stays as it is.
 *
 * Use it where a small clean data set of the task can be had (the paper: 100 examples): it needs no
 * f, and holds with more attackers than honest clients. (Say `attackers`, and rounds of attackers
 * alone are refused: n > f.) The paper claims it against flipped labels,
 * scaled backdoors (model replacement) and attacks made for other rules.
 *
 * It breaks where the root data are unlike the clients' (who know what it lacks are not trusted),
 * and late in training, when D_0 is mostly noise. Every step is as long as D_0: choose `learningRate`
 * and `epochs` so that `rootNorm` is about the clients' `medianNorm`, or it crawls.
 */
import { z } from 'zod';
import { trainOnProxy } from './combination/proxy.js';
import { combinationRule } from './families/combination.js';
import { assumedAttackers, attackersIfSaid, withstanding } from './robust/attackers.js';
import { medianOf } from './statistics.js';

const options = z.strictObject({
  attackers: attackersIfSaid(1),
  learningRate: z
    .number()
    .positive()
    .default(0.05)
    .describe("Of the coordinator's own gradient steps; the clients' is a good choice."),
  epochs: z
    .int()
    .positive()
    .max(10_000)
    .default(1)
    .describe('Passes over the root data in a round, one step a batch.'),
});

const byDirection = combinationRule({
  name: 'fltrust',
  summary: "Trusts each update as far as it points along the coordinator's own.",
  paper:
    'Cao et al., NDSS 2021, "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping"',
  options,
  needs: { oracle: true },
  async combine(x, { options: o, model }) {
    const root = Float32Array.from(await trainOnProxy('fltrust', x.oracle, model, o));
    const rootNorm = norm(root);
    const along = (await x.dot(root)).updates;
    const norms = x.updates.map((update) => update.norm);
    const trust = along.map((product, i) => Math.max(0, ratio(product, norms[i] * rootNorm)));
    const total = trust.reduce((sum, t) => sum + t, 0);
    const updates = trust.map((t, i) => (t > 0 ? (t / total) * (rootNorm / norms[i]) : 0));
    return {
      coefficients: { model: 1, updates },
      diagnostics: {
        trusted: trust.filter((t) => t > 0).length,
        meanTrust: total / trust.length,
        rootNorm,
        medianNorm: medianOf(norms),
      },
    };
  },
});

/** 0 where there is no direction: of an update that is all zero, or of root data that teach nothing. */
function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}

function norm(vector: Float32Array): number {
  let squares = 0;
  for (const value of vector) squares += value * value;
  return Math.sqrt(squares);
}

export const fltrust = withstanding(byDirection, {
  isEnough: (n, { attackers = 0 }) => n > assumedAttackers(attackers, n),
  condition: 'n > f',
});
