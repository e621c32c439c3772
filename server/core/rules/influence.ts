/**
 * Influence. The second-order model of the oracle's loss in the span of the updates, after Xue, Niu,
 * Zheng, Tang, Lv, Wu, Chen: "Toward Understanding the Influence of Individual Clients in Federated
 * Learning", AAAI 2021, and Koh, Liang: "Understanding Black-box Predictions via Influence
 * Functions", ICML 2017.
 *
 *     new = w + sum_i a_i D_i,   a = argmax p'a - a'Qa/2,   p_i = -<grad L, D_i>,   Q_ij = <D_i, H D_j>
 *
 * p_i says how much an update lowers the loss by itself, Q how updates repeat or undo each other. H is
 * never made: H D_j is the difference of the oracle's gradients a little way along D_j, forth and
 * back (2K + 1 gradients of the proxy set in a round). Where the loss curves down, as deep networks'
 * does, the maximum runs off to infinity: then as much is added to Q's diagonal as makes it positive
 * definite, and `ridge` of the diagnostics says how much.
 *
 * By default nothing constrains a: it is Q^-1 p, Newton's step in the span of the updates, which may
 * go against an update and further than any. `constraint: nonnegative` (a >= 0) takes nothing from
 * updates that all hurt; `simplex` (a >= 0, sum 1) stays inside the hull of the updates, where the
 * model of the loss is good and no coefficient can run away.
 *
 * Use it where a small proxy set is like the data that counts and one pass of learning, as FedLAW
 * makes it, is too slow to find out who helps. It breaks with more clients than the proxy set can
 * tell apart, and where updates are so long that the loss is no parabola along them: the step may
 * then be far too long, and made of rounding. `ridge` shortens it, and `simplex` holds it. An update
 * a tenth of which (`difference`) gives no finite loss or gradient ends the round (`not_finite`).
 */
import { z } from 'zod';
import { TributaryError } from '../../../protocol/errors.js';
import { meanLossAndGrad } from './combination/proxy.js';
import type { Quadratic } from './combination/quadratic.js';
import {
  cholesky,
  minimiseNonnegative,
  minimiseOnSimplex,
  solve,
} from './combination/quadratic.js';
import type { CombinationContext } from './families/combination.js';
import { combinationRule } from './families/combination.js';
import type { Workspace } from './families/workspace.js';

const options = z.strictObject({
  constraint: z
    .enum(['simplex', 'nonnegative', 'none'])
    .default('none')
    .describe('simplex: a mean of the updates. nonnegative: of any length. none: any signs too.'),
  ridge: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Added to Q's diagonal, relative to its mean: draws the coefficients together."),
  difference: z
    .number()
    .positive()
    .max(1)
    .default(0.1)
    .describe('How far along an update its curvature is measured, as a share of the update.'),
});
type Options = z.infer<typeof options>;

const needs = { oracle: true } as const;
type X = Workspace<typeof needs>;

export const influence = combinationRule({
  name: 'influence',
  summary: 'The mix that a second-order model of the proxy loss expects the most from.',
  paper:
    'Xue et al., AAAI 2021, "Toward Understanding the Influence of Individual Clients in Federated Learning"; Koh and Liang, ICML 2017, "Understanding Black-box Predictions via Influence Functions"',
  options,
  needs,
  async combine(x, ctx) {
    const { loss, grad } = await meanLossAndGrad('influence', x.oracle, ctx.model);
    const slopes = await x.dot(Float32Array.from(grad));
    const p = Float64Array.from(slopes.updates, (slope) => -slope);
    const measured = { size: p.length, Q: await curvature(x, ctx), p };
    const { problem, factor, ridge } = convex(measured, ctx.options.ridge);
    const a = maximum(problem, factor, ctx.options);
    return {
      coefficients: { model: 1, updates: a },
      diagnostics: { proxyLossBefore: loss, expectedFall: expectedFall(measured, a), ridge },
    };
  },
});

function refuse(what: string): never {
  const message = `the rule "influence" got ${what} of the proxy loss: look for a client that diverged, or lower the option "difference"`;
  throw new TributaryError('not_finite', message);
}

/** Q by central differences of gradients, made symmetric. */
async function curvature(
  x: X,
  { options: { difference } }: CombinationContext<Options>,
): Promise<Float64Array> {
  const size = x.updates.length;
  const raw = new Float64Array(size * size);
  const gradAt = async (j: number, along: number): Promise<Float64Array> => {
    const updates = x.updates.map((_, i) => (i === j ? along : 0));
    return (await meanLossAndGrad('influence', x.oracle, await x.at({ model: 1, updates }))).grad;
  };
  for (let j = 0; j < size; j++) {
    const [forth, back] = [await gradAt(j, difference), await gradAt(j, -difference)];
    const change = Float32Array.from(forth, (value, e) => (value - back[e]) / (2 * difference));
    (await x.dot(change)).updates.forEach((value, i) => (raw[i * size + j] = value));
  }
  return raw.map((value, at) => (value + raw[(at % size) * size + Math.floor(at / size)]) / 2);
}

/**
 * Q with the ridge, and with more of it until it is positive definite.
 * @throws TributaryError `not_finite`.
 */
function convex(
  { size, Q, p }: Quadratic,
  wanted: number,
): { problem: Quadratic; factor: Float64Array; ridge: number } {
  const bad = Q.find((value) => !Number.isFinite(value));
  // No ridge would ever make it positive definite.
  if (bad !== undefined) refuse(`${bad} among the curvatures`);
  let trace = 0;
  for (let i = 0; i < size; i++) trace += Math.abs(Q[i * size + i]);
  const unit = trace > 0 ? trace / size : 1;
  for (let relative = wanted; ; relative = Math.max(2 * relative, 1e-6)) {
    const ridge = relative * unit;
    if (!Number.isFinite(ridge)) refuse('curvatures that no ridge makes positive');
    const lifted = Q.map((value, at) => (at % (size + 1) === 0 ? value + ridge : value));
    const factor = cholesky(lifted, size);
    if (factor) return { problem: { size, Q: lifted, p }, factor, ridge };
  }
}

function maximum(problem: Quadratic, factor: Float64Array, { constraint }: Options): number[] {
  const { size } = problem;
  if (constraint === 'none') return solve(problem, factor);
  if (constraint === 'nonnegative') return minimiseNonnegative(problem);
  const ones = Array.from({ length: size }, () => 1);
  const start = ones.map(() => 1 / size);
  return minimiseOnSimplex(problem, start, { low: ones.map(() => 0), high: ones });
}

/** p'a - a'Qa/2: what the loss should fall by. */
function expectedFall({ size, Q, p }: Quadratic, a: readonly number[]): number {
  return a.reduce((sum, value, i) => {
    const curved = a.reduce((inner, other, j) => inner + Q[i * size + j] * other, 0);
    return sum + value * (p[i] - curved / 2);
  }, 0);
}
