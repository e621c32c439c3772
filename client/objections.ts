/** Why a site's policy forbids to take part. Each is null where it does not. */
import type { SitePolicy } from './policy.js';
import { bytesObjection, roundsObjection } from './policy.js';
import type { ReviewRequest } from './review.js';

export function objectionTo(request: ReviewRequest, policy: SitePolicy): string | null {
  return (
    modelObjection(request, policy) ??
    roundsObjection(request.run.rounds, policy) ??
    bytesObjection(request.leaves.bytes, policy) ??
    clipObjection(request, policy) ??
    metricsObjection(request, policy)
  );
}

function modelObjection(
  { task, modelSha256 }: ReviewRequest,
  { models }: SitePolicy,
): string | null {
  if (!models || models.includes(modelSha256) || models.includes(task.name)) return null;
  return `the model of task "${task.name}" (sha256 ${modelSha256}) is not among the allowed`;
}

/** Scaled down, SCAFFOLD's vectors would no longer be what its server takes them for. */
function clipObjection(
  { vectors, leaves }: ReviewRequest,
  { clipNorm }: SitePolicy,
): string | null {
  if (clipNorm === undefined) return null;
  if (vectors.length > 0)
    return `"clipNorm" cannot be kept: the rule asks for the vectors ${vectors.join(', ')}`;
  return leaves.answers ? '"clipNorm" cannot be kept: the rule asks for gradients' : null;
}

function metricsObjection(
  { neededMetrics, leaves }: ReviewRequest,
  { metrics }: SitePolicy,
): string | null {
  const needed = leaves.answers ? [...neededMetrics, 'loss'] : neededMetrics;
  const withheld = needed.find((name) => metrics && !metrics.includes(name));
  return withheld === undefined ? null : `the rule needs the metric "${withheld}"`;
}
