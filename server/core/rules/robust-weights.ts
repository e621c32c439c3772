/** The option `weights` that robust rules share. */
import { z } from 'zod';
import type { UpdateFacts } from './rule.js';

/**
 * `uniform`: one client, one voice. `examples` trusts the client's own count, which is what an
 * attacker would raise: only where counts are known to be true.
 */
export const robustWeights = z.enum(['uniform', 'examples']).default('uniform');

export function robustWeight(
  { numExamples }: UpdateFacts,
  { weights }: { readonly weights: z.infer<typeof robustWeights> },
): number {
  return weights === 'examples' ? numExamples : 1;
}
