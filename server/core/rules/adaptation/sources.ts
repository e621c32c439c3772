/** What FedDA and FedGP share: options, shares of sources, how far each may pull. */
import { z } from 'zod';
import { TributaryError } from '../../../../protocol/errors.js';
import type { Workspace } from '../families/workspace.js';
import type { Coefficients, Needs, UpdateFacts } from '../rule.js';
import type { BetaEstimate } from './auto-weighting.js';
import { estimateBeta } from './auto-weighting.js';

export const sourceOptions = {
  beta: z
    .union([z.number().min(0).max(1), z.literal('auto')], 'use a number from 0 to 1, or "auto"')
    .default(0.5)
    .describe('How much a source counts against the target; 0 is target-only; auto estimates it.'),
  betaMax: z.number().min(0).max(1).default(1).describe('No beta exceeds it.'),
  sourceWeights: z.enum(['uniform', 'examples']).default('uniform'),
  align: z
    .enum(['none', 'learningRate'])
    .default('none')
    .describe(
      "learningRate: a source's update is scaled by (lr_T / lr_S) * steps_T / steps_S, from the learningRate that clients report; lr_T / lr_S is held between 1e-3 and 1e3.",
    ),
  granularity: z
    .enum(['tensor', 'model'])
    .default('tensor')
    .describe('Whether updates are projected tensor by tensor or whole. FedDA does not project.'),
};
export type SourceOptions = z.infer<z.ZodObject<typeof sourceOptions>>;

/** Auto-weighting needs the updates of the target's single batches: `batch.0`, `batch.1`, … */
export const adaptationNeeds = {
  target: true,
  vectors: [{ name: 'batch', roles: ['target'], many: true, fewest: 2 }],
} as const;

export function adaptationNeeded({ beta }: Pick<SourceOptions, 'beta'>): Needs {
  return beta === 'auto' ? adaptationNeeds : { target: true };
}

export type AdaptationWorkspace = Workspace<typeof adaptationNeeds>;

/** One source client, with all that the two rules need to know of it. */
export interface Source {
  /** Its place among the updates. */
  readonly update: number;
  readonly clientId: string;
  /** Its share in the mean over sources; all shares add up to 1. */
  readonly share: number;
  readonly beta: number;
  /** The factor that brings its update to the target's step size and number of steps. */
  readonly scale: number;
  /** Whether the rates that it and the target claim are so far apart that their ratio was held. */
  readonly isHeld: boolean;
}

/**
 * The sources in client-id order. Under `beta: auto`, with the estimate that `pick` takes.
 * @throws TributaryError `missing_vector` where the target sent fewer than two batch updates.
 */
export async function sourcesOf(
  x: AdaptationWorkspace,
  options: SourceOptions,
  dimensions: number,
  pick: (estimate: BetaEstimate) => number,
): Promise<readonly Source[]> {
  const { beta, betaMax, sourceWeights, align } = options;
  const target = x.updates[x.target];
  const places = x.updates.flatMap((_, i) => (i === x.target ? [] : [i]));
  const count = (i: number): number =>
    sourceWeights === 'examples' ? x.updates[i].numExamples : 1;
  const total = places.reduce((sum, i) => sum + count(i), 0);
  const estimates = beta === 'auto' ? await estimatesOf(x, places, dimensions) : null;
  return places.map((update, k) => {
    const facts = x.updates[update];
    const rates = rateRatio(target, facts);
    const scale = align === 'none' ? 1 : rates.ratio * (target.numSteps / facts.numSteps);
    const own = estimates ? pick(estimates[k]) : (beta as number);
    return {
      update,
      clientId: facts.clientId,
      share: count(update) / total,
      beta: Math.min(own, betaMax),
      scale,
      isHeld: rates.isHeld,
    };
  });
}

async function estimatesOf(
  x: AdaptationWorkspace,
  sources: readonly number[],
  dimensions: number,
): Promise<readonly BetaEstimate[]> {
  const target = x.updates[x.target];
  const batches = x.auxiliary(x.target).map((vector) => ({ update: x.target, vector }));
  if (batches.length < 2) {
    const message = `auto-weighting needs the updates of at least 2 batches; the target "${target.clientId}" sent ${batches.length}`;
    throw new TributaryError('missing_vector', message);
  }
  const [gram] = await x.gram('model', [...batches, ...sources.map((update) => ({ update }))]);
  const products = batches.map((a) => batches.map((b) => gram.dot(a, b)));
  return sources.map((update) => {
    // g_S: the source's mean step, at the target's step size.
    const factor = rateRatio(target, x.updates[update]).ratio / x.updates[update].numSteps;
    return estimateBeta({
      batches: products,
      withSource: batches.map((batch) => factor * gram.dot(batch, { update })),
      source: factor * factor * gram.dot({ update }, { update }),
      dimensions,
    });
  });
}

/** A rate is a client's own claim: without a bound, one of 1e-300 would blow its update up. */
const RATIO_MAX = 1e3;

/** lr_T / lr_S; 1 where either does not report a positive rate, and where the ratio overflows. */
function rateRatio(target: UpdateFacts, source: UpdateFacts): { ratio: number; isHeld: boolean } {
  const rate = ({ metrics }: UpdateFacts): number | undefined => metrics.learningRate;
  const [ofTarget = 0, ofSource = 0] = [rate(target), rate(source)];
  if (!(ofTarget > 0 && ofSource > 0)) return { ratio: 1, isHeld: false };
  const ratio = ofTarget / ofSource;
  if (!Number.isFinite(ratio)) return { ratio: 1, isHeld: true };
  const held = Math.min(Math.max(ratio, 1 / RATIO_MAX), RATIO_MAX);
  return { ratio: held, isHeld: held !== ratio };
}

/** To be plotted over the rounds: betas that were estimated, and how many ratios of rates were held. */
export function sourceDiagnostics(
  sources: readonly Source[],
  { beta, align }: SourceOptions,
): Record<string, number> {
  const betas = sources.map((source) => [`beta.${source.clientId}`, source.beta] as const);
  const ratesHeld = sources.filter(({ isHeld }) => isHeld).length;
  return {
    ...(beta === 'auto' && Object.fromEntries(betas)),
    ...((beta === 'auto' || align !== 'none') && { ratesHeld }),
  };
}

/** Coefficients on the deltas: the target's sum of share * (1 - beta), and what each source gets. */
export function pulled(
  x: AdaptationWorkspace,
  sources: readonly Source[],
  onSource: (source: Source) => number | readonly number[],
): Coefficients {
  const updates: (number | readonly number[])[] = x.updates.map(() => 0);
  updates[x.target] = sources.reduce((sum, { share, beta }) => sum + share * (1 - beta), 0);
  for (const source of sources) updates[source.update] = onSource(source);
  return { model: 1, updates };
}
