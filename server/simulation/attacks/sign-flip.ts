/**
 * Sign flip (Li, Xu, Chen, Giannakis, Ling, AAAI 2019, "RSA: Byzantine-Robust Stochastic Aggregation
 * Methods"): the attacker trains honestly and sends -scale * D, a step uphill.
 */
import { z } from 'zod';
import type { Attack } from './attack.js';

const parameters = z.strictObject({ scale: z.number().positive().default(1) });

export const signFlip: Attack<z.infer<typeof parameters>> = {
  name: 'sign-flip',
  summary: 'sends -D, its honest update turned round',
  paper: 'Li et al., AAAI 2019, "RSA: Byzantine-Robust Stochastic Aggregation Methods"',
  parameters,
  forge: ({ own }, { scale }) => own.map((value) => -scale * value),
};
