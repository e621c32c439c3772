/**
 * Fisher merging. Matena, Raffel: "Merging Models with Fisher-Weighted Averaging", NeurIPS 2022.
 *
 *     new = sum_i F_i w_i / sum_i F_i = w + sum_i F_i D_i / sum_i F_i,   element by element
 *
 * F_i is the diagonal of client i's Fisher information at its trained parameters, an auxiliary vector
 * `fisher` of numbers that are not negative; the TF.js trainer makes it when it is asked. A parameter
 * that a client's data say nothing about counts nothing there. `weights: examples` multiplies F_i by
 * n_i, the information of all of a client's examples and not of a mean one. Where sum F_i is 0, the
 * mean is plain; `epsilon` raises smaller values to itself (the authors' code: 1e-6, after scaling).
 *
 * Use it to merge models that were fine-tuned on unlike data: each keeps what it is sure of. It costs
 * a second vector an update and a pass over examples, one at a time. It breaks where clients'
 * Fishers differ in scale for reasons other than information (another loss, an untrained model has
 * great gradients), and under attack: a client that sends a great F decides alone.
 */
import { z } from 'zod';
import { TributaryError } from '../../../protocol/errors.js';
import { DELTA } from '../../../protocol/update.js';
import { checkMeasure } from '../admission/measure.js';
import { generalRule } from './combination/general.js';
import type { Segment } from './families/tile-reader.js';
import { segments, tileReader } from './families/tile-reader.js';
import type { UpdateReader } from './rule.js';

const FISHER = 'fisher';

const options = z.strictObject({
  weights: z
    .enum(['uniform', 'examples'])
    .default('uniform')
    .describe('examples: the Fisher of a mean example times the number of examples.'),
  epsilon: z.number().nonnegative().default(0).describe('No Fisher value counts less.'),
});
type Options = z.infer<typeof options>;

export const fisher = generalRule({
  name: 'fisher',
  summary: "The mean with each parameter weighed by its client's Fisher information.",
  paper: 'Matena and Raffel, NeurIPS 2022, "Merging Models with Fisher-Weighted Averaging"',
  options,
  needs: {
    vectors: [{ name: FISHER, roles: ['source', 'target'], many: false, measure: true }],
  },
  async aggregate(updates, { options: o, layout, state }) {
    for (const update of updates) checkSent(update);
    const shares = updates.map(({ numExamples }) => (o.weights === 'examples' ? numExamples : 1));
    const merge = merger(updates, shares, o, layout.size);
    const read = tileReader(updates, 0);
    const rows = [DELTA, FISHER].flatMap((vector) =>
      updates.map((_, update) => ({ update, vector })),
    );
    for (const segment of segments(layout, rows.length)) {
      const tiles = await read(rows, segment);
      merge.add(segment, tiles.slice(0, updates.length), tiles.slice(updates.length));
    }
    return { ...merge.result(), state };
  },
});

function checkSent({ clientId, vectors }: UpdateReader): void {
  if (vectors.includes(FISHER)) return;
  throw new TributaryError('missing_vector', `client "${clientId}" sent no vector "${FISHER}"`);
}

type Tiles = readonly Float32Array[];

/** Takes the updates tile by tile. */
function merger(
  updates: readonly UpdateReader[],
  shares: readonly number[],
  { epsilon }: Options,
  size: number,
) {
  const delta = new Float64Array(size);
  const taken = updates.map(() => 0);
  const total = shares.reduce((sum, share) => sum + share, 0);
  let plain = 0;

  const element = (at: number, e: number, deltas: Tiles, fishers: Tiles): void => {
    const counts = (i: number): number => shares[i] * Math.max(fishers[i][e], epsilon);
    let sum = 0;
    for (let i = 0; i < shares.length; i++) sum += counts(i);
    if (sum === 0) plain += 1;
    for (let i = 0; i < shares.length; i++) {
      const weight = sum === 0 ? shares[i] / total : counts(i) / sum;
      delta[at] += weight * deltas[i][e];
      taken[i] += weight;
    }
  };
  return {
    add({ start, length }: Segment, deltas: Tiles, fishers: Tiles): void {
      // Admission refuses such an update; files and simulations come another way.
      fishers.forEach((tile, i) => {
        checkMeasure(tile, `${FISHER} of client ${updates[i].clientId}`, start);
      });
      for (let e = 0; e < length; e++) element(start + e, e, deltas, fishers);
    },
    result: () => ({
      delta,
      weights: Object.fromEntries(
        updates.map(({ clientId }, i) => [clientId, taken[i] / Math.max(1, size)]),
      ),
      diagnostics: { plainShare: plain / Math.max(1, size) },
    }),
  };
}
