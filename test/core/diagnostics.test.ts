/** The diagnostics of every rule, against numbers worked out by hand. */
import { describe, expect, it } from 'vitest';
import { commonDiagnostics } from '../../server/core/rules/diagnostics.js';

const updates = [
  { clientId: 'ada', norm: 3 },
  { clientId: 'constructor', norm: 4 },
  { clientId: 'eve', norm: 11 },
];
const delta = Float64Array.of(2, -3, 6);
const of = (weights: Record<string, number>): number =>
  commonDiagnostics({ delta, weights }, updates).effectiveClients;

describe('the diagnostics of every rule', () => {
  it('tell the norm of the aggregate and the mean norm of the updates', () => {
    const common = commonDiagnostics({ delta, weights: {} }, updates);
    expect(common).toEqual({ updateNorm: 7, effectiveClients: 0, meanUpdateNorm: 6 });
  });

  it('count the clients that decide: (sum w)^2 / sum w^2', () => {
    expect(of({ ada: 0.25, constructor: 0.25, eve: 0.25 })).toBe(3);
    expect(of({ ada: 0, constructor: 2, eve: 0 })).toBe(1);
    // (.5 + .25 + .25)^2 / (.25 + .0625 + .0625)
    expect(of({ ada: 0.5, constructor: 0.25, eve: 0.25 })).toBeCloseTo(8 / 3, 14);
  });

  it('give no weight to a client whom the rule left out, whatever it is called', () => {
    expect(of({ ada: 1, eve: 1 })).toBe(2);
    expect(of({})).toBe(0);
    expect(of({ ada: 0, constructor: 0, eve: 0 })).toBe(0);
  });

  it('do not depend on the order of arrival', () => {
    const norms = [0.1, 0.2, 0.3, 1e16, -1e16].map((norm, i) => ({ clientId: `c${i}`, norm }));
    const weights = { c0: 0.1, c1: 0.7, c2: 1e-9, c3: 3, c4: 0.3 };
    const there = commonDiagnostics({ delta, weights }, norms);
    expect(commonDiagnostics({ delta, weights }, norms.toReversed())).toEqual(there);
  });

  it('are zeros for a round of no updates and a model of no parameters', () => {
    const none = commonDiagnostics({ delta: new Float64Array(0), weights: {} }, []);
    expect(none).toEqual({ updateNorm: 0, effectiveClients: 0, meanUpdateNorm: 0 });
  });
});
