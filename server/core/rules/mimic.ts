/**
 * Mimic: each update counts by how far it goes along the server's own, which the server makes on its
 * proxy set. The server's update as the root of trust is that of Cao, Fang, Liu, Gong: "FLTrust:
 * Byzantine-robust Federated Learning via Trust Bootstrapping", NDSS 2021; here updates keep their
 * length, and the weight is the projection, not the cosine.
 *
 *     new = w + sum_i a_i D_i / sum_i a_i,   a_i = max(0, <D_i, r> / |r|),   r = w_ref - w
 *
 * w_ref is the model after `epochs` of gradient descent from w on the proxy set. Where no update goes
 * along r, the model stays as it is.
 *
 * Use it where a proxy set is too small to train on alone but good enough to say which way is up. It
 * breaks where the proxy set lacks classes that clients have (their updates are turned away), and
 * under attack: a longer update counts more, so use `fltrust` against clients that lie.
 */
import { z } from 'zod';
import { proxyTraining, trainOnProxy } from './combination/proxy.js';
import { combinationRule } from './families/combination.js';

const needs = { oracle: true } as const;

export const mimic = combinationRule({
  name: 'mimic',
  summary: "Counts each update by how far it goes along the server's own on a proxy set.",
  paper:
    'after Cao et al., NDSS 2021, "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping"',
  options: z.strictObject(proxyTraining),
  needs,
  async combine(x, { options, model }) {
    const reference = await trainOnProxy('mimic', x.oracle, model, options);
    const squared = reference.reduce((sum, value) => sum + value * value, 0);
    const { updates: slopes } = await x.dot(Float32Array.from(reference));
    const length = Math.sqrt(squared);
    const along = slopes.map((slope) => (length > 0 ? Math.max(0, slope / length) : 0));
    const total = along.reduce((sum, value) => sum + value, 0);
    return {
      coefficients: { model: 1, updates: along.map((value) => (total > 0 ? value / total : 0)) },
      diagnostics: {
        referenceNorm: length,
        opposed: slopes.filter((slope) => slope < 0).length,
        meanAlong: total / along.length,
      },
    };
  },
});
