import { combinationRule } from 'tributary-fl';
import { z } from 'zod';

/** Counts a client by how far its update points along the sum of all; who is opposed, by the floor. */
export default combinationRule({
  name: 'agreement',
  summary: 'Counts updates by how far they point along the sum of all.',
  paper: 'an example of docs/write-a-rule.md, 2026',
  options: z.strictObject({ floor: z.number().min(0).max(1).default(0.1) }),
  needs: {},
  async combine(x, { options: { floor } }) {
    const [gram] = await x.gram('model');
    const ids = x.updates.map((_, update) => ({ update }));
    const along = ids.map((i) => {
      const length = Math.sqrt(gram.dot(i, i));
      const sum = ids.reduce((total, j) => total + gram.dot(i, j), 0);
      return length === 0 ? 0 : Math.max(0, sum / length);
    });
    const total = along.reduce((a, b) => a + b, 0);
    const share = (a: number): number => (total === 0 ? 1 / ids.length : a / total);
    return { model: 1, updates: along.map((a) => floor / ids.length + (1 - floor) * share(a)) };
  },
});
