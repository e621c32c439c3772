/** What a site allows, whatever it is asked: applied on the client, before anything leaves. */
import { z } from 'zod';
import type { Metrics } from '../protocol/metrics.js';
import { metricName } from '../protocol/metrics.js';
import { plainName, sha256Hex } from '../protocol/model.js';

export const sitePolicy = z.strictObject({
  /**
   * Models that may be used: the sha256 of the model's specification, which names exactly one, or
   * the name of a task, which is the coordinator's word.
   */
  models: z
    .array(z.union([sha256Hex, plainName]))
    .min(1)
    .optional(),
  /** Most rounds of a run; a round that is tried again counts once. */
  maxRounds: z.int().positive().optional(),
  /** Fewest examples that an update or an evaluation may speak of. */
  minExamples: z.int().positive().optional(),
  /** Greatest L2 norm of an update, over all tensors that leave; a longer one is scaled down to it. */
  clipNorm: z.number().positive().optional(),
  /** Metrics that may leave, with updates, reports of progress and evaluations. */
  metrics: z.array(metricName).optional(),
  /** Greatest length of an update. */
  maxBytes: z.int().positive().optional(),
});
export type SitePolicy = z.infer<typeof sitePolicy>;

/** As the coordinator reads it. */
export function refusedBySite(why: string): string {
  return `refused by the site: ${why}`;
}

/** One result that stays at the site; the client goes on taking part. */
export class HeldBack extends Error {
  override readonly name = 'HeldBack';

  constructor(why: string) {
    super(refusedBySite(why));
  }
}

// Why it is not allowed; null where it is. The coordinator reads it too.

export function roundsObjection(rounds: number, { maxRounds = Infinity }: SitePolicy) {
  return rounds > maxRounds ? `${rounds} rounds are more than ${maxRounds}` : null;
}

export function bytesObjection(bytes: number, { maxBytes = Infinity }: SitePolicy) {
  return bytes > maxBytes ? `an update of ${bytes} bytes is larger than ${maxBytes}` : null;
}

export function examplesObjection(numExamples: number, { minExamples = 0 }: SitePolicy) {
  return numExamples >= minExamples ? null : `it would speak of fewer than ${minExamples} examples`;
}

/** Those that may leave. */
export function allowedMetrics(metrics: Metrics, { metrics: allowed }: SitePolicy): Metrics {
  if (!allowed) return metrics;
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => allowed.includes(name)));
}

/** An update that was scaled down: its L2 norm before and after. */
export interface Clipped {
  readonly norm: number;
  readonly to: number;
}
