/**
 * Clipped clustering. Li, Ngai, Voigt: "An Experimental Study of Byzantine-Robust Aggregation
 * Schemes in Federated Learning", IEEE Transactions on Big Data 2023.
 *
 *     new = w + mean over the larger cluster of D_i min(1, M / |D_i|),   M = median |D_i|
 *
 * The clusters are two, of average linkage by cosine distance. The paper takes the median over the
 * norms of all rounds so far; here it is the round's own, which forgets what early rounds were like.
 * Of equally large clusters, the one with the first client by id is kept.
 *
 * Use it where attackers are fewer than half and send much the same direction: neither their number
 * nor a threshold has to be known. For independent data the paper claims it against noise, the
 * gradient turned round, flipped labels, ALIE and IPM.
 *
 * It breaks where clients differ much: a cluster is thrown away in every round, and where nobody
 * attacks it is the rarest kind. Few clients make it worse: of three, one is always dropped, and
 * rounds of fewer are refused.
 */
import { z } from 'zod';
import { clip } from './clipping.js';
import { combinationRule } from './families/combination.js';
import { attackersOption, cohortOf, withstanding } from './robust/attackers.js';
import { twoClusters } from './robust/average-linkage.js';
import { cosineDistances, lengths, productsOf } from './robust/geometry.js';
import { meanOver, selectionDiagnostics } from './robust/selection.js';
import { robustWeights } from './robust-weights.js';
import { medianOf } from './statistics.js';

const clustered = combinationRule({
  name: 'clipped-clustering',
  summary: 'Clips to the median norm and averages the larger of two clusters by direction.',
  paper:
    'Li et al., IEEE Transactions on Big Data 2023, "An Experimental Study of Byzantine-Robust Aggregation Schemes in Federated Learning"',
  options: z.strictObject({ attackers: attackersOption, weights: robustWeights }),
  needs: {},
  // Of two, each would be a cluster, and the order of ids would say which one is kept.
  minUpdates: () => 3,
  async combine(x, { options }) {
    const products = await productsOf(x);
    const norms = lengths(products);
    const medianNorm = medianOf(norms);
    const { clusters, distance } = twoClusters(cosineDistances(products));
    const larger = clusters.reduce((a, b) => (b.length > a.length ? b : a));
    const factor = (update: number): number => clip(norms[update], medianNorm);
    return {
      coefficients: meanOver(x.updates, larger, options, factor),
      diagnostics: {
        ...selectionDiagnostics(larger.length, norms.length),
        medianNorm,
        clipped: norms.filter((norm) => norm > medianNorm).length,
        clusterDistance: distance,
      },
    };
  },
});

export const clippedClustering = withstanding(clustered, cohortOf({ perAttacker: 2, plus: 1 }));
