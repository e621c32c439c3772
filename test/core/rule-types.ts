/**
 * What a rule did not declare to need does not compile. Compiled by the type checker, never run:
 * test/core/compile.test.ts fails if one of the expected errors is not there.
 */
import { z } from 'zod';
import { combinationRule } from '../../server/core/rules/families/combination.js';
import { linearRule } from '../../server/core/rules/families/linear.js';

const base = { name: 'typed', paper: 'none', options: z.strictObject({ q: z.number() }) };
/** For what stands there only to be type-checked. */
const use = (value: unknown): unknown => value;
const nothing = { model: 1, updates: [] };

export const undeclared = combinationRule({
  ...base,
  needs: {},
  combine(x, { options }) {
    const q: number = options.q;
    // @ts-expect-error -- no oracle was declared
    use(x.oracle);
    // @ts-expect-error -- no target was declared
    use(x.target);
    // @ts-expect-error -- no vectors were declared
    use(x.auxiliary);
    // @ts-expect-error -- "batch.0" was not declared
    void x.gram('model', [{ update: 0, vector: 'batch.0' }]);
    // @ts-expect-error -- an option that is not there
    use(options.p);
    return { model: q, updates: [] };
  },
});

export const withOracle = combinationRule({
  ...base,
  needs: { oracle: true },
  async combine(x) {
    const { loss } = await x.oracle.lossAndGrad(await x.at(nothing), 0);
    // @ts-expect-error -- only the oracle was declared
    use(x.target);
    return { ...nothing, model: loss };
  },
});

export const withTarget = combinationRule({
  ...base,
  needs: { target: true, vectors: [{ name: 'batch', roles: ['target'], many: true }] },
  async combine(x) {
    const target: number = x.target;
    const [first] = x.auxiliary(target);
    const [gram] = await x.gram('tensor', [{ update: target, vector: first }, { update: 0 }]);
    gram.dot({ update: 0, vector: 'batch.3' }, { update: 0, vector: 'delta' });
    // @ts-expect-error -- a family is named by its members
    gram.dot({ update: 0, vector: 'batch' }, { update: 0 });
    // @ts-expect-error -- "control" was not declared
    gram.dot({ update: 0, vector: 'control' }, { update: 0 });
    // @ts-expect-error -- no oracle was declared
    use(x.oracle);
    return nothing;
  },
});

export const linear = linearRule({
  ...base,
  needs: { vectors: [{ name: 'control', roles: ['source'], many: false }] },
  weightMax: ({ q }) => q,
  weigh: ({ numExamples }, ctx) => {
    // @ts-expect-error -- a weight may not depend on who else is in the round
    use(ctx.round);
    return { weight: numExamples * ctx.options.q, aux: { control: 1 } };
  },
  advance: (state, _, aux) => {
    // @ts-expect-error -- "other" was not declared
    use(aux.other);
    return { ...state, tensors: aux.control ? { c: aux.control } : state.tensors };
  },
});

export const linearUndeclared = linearRule({
  ...base,
  weightMax: () => 1,
  // @ts-expect-error -- "control" was not declared
  weigh: () => ({ weight: 1, aux: { control: 1 } }),
});

export const linearMisnamed = linearRule({
  ...base,
  needs: { vectors: [{ name: 'control', roles: ['source'], many: false }] },
  weightMax: () => 1,
  // @ts-expect-error -- "other" was not declared
  weigh: () => ({ weight: 1, aux: { other: 1 } }),
});
