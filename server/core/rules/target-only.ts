/**
 * Target only, a control: the target client trains alone. It is beta = 0 of Jiang, Zhang, Wang, Koyejo:
 * "Principled Federated Domain Adaptation: Gradient Projection and Auto-Weighting", ICLR 2024.
 *
 *     new = w + D_T
 *
 * Use it in comparisons of rules for domain adaptation: what they must beat where the target has few
 * examples. It breaks, as training on few examples does, by learning them by heart.
 */
import { z } from 'zod';
import { combinationRule } from './families/combination.js';

export const targetOnly = combinationRule({
  name: 'target-only',
  summary: "Control: the target's own update, as if it trained alone.",
  paper:
    'a control: beta = 0 of Jiang et al., ICLR 2024, "Principled Federated Domain Adaptation: Gradient Projection and Auto-Weighting"',
  control: true,
  options: z.strictObject({}),
  needs: { target: true },
  combine: (x) => ({ model: 1, updates: x.updates.map((_, i) => (i === x.target ? 1 : 0)) }),
});
