import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Role } from '../../protocol/run.js';
import { byClientId, chooseCohort } from '../../server/core/cohort.js';
import { randomStream, shuffled } from '../../server/core/random.js';
import type { Candidate } from '../../server/core/round.js';

interface Choice {
  readonly seed?: number;
  readonly size?: number | 'all';
  readonly required?: Role[];
  readonly cohortMax?: number;
  readonly number?: number;
  readonly attempt?: number;
}

function choose(candidates: readonly Candidate[], choice: Choice = {}): Candidate[] {
  const { seed = 1, size = 'all', required = [], cohortMax = 4096 } = choice;
  const { number = 1, attempt = 1 } = choice;
  const spec = {
    seed,
    cohort: { size, waitMs: 1 },
    quorum: { min: 1, share: 1, required },
    caps: { cohortMax, deltaMax: 8 },
  };
  return chooseCohort({ number, attempt }, spec, candidates);
}

function sources(count: number): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ clientId: `c${i}`, role: 'source' }));
}

const ids = (cohort: readonly Candidate[]): string[] => cohort.map(({ clientId }) => clientId);

const candidates = fc
  .uniqueArray(fc.stringMatching(/^[A-Za-z0-9._-]{1,6}$/), { minLength: 1, maxLength: 30 })
  .chain((names) =>
    fc.tuple(
      ...names.map((clientId) =>
        fc.constantFrom<Role>('source', 'source', 'target').map((role) => ({ clientId, role })),
      ),
    ),
  );

const choice = fc.record({
  seed: fc.nat(),
  size: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant('all' as const)),
  required: fc.subarray<Role>(['source', 'target']),
  cohortMax: fc.constantFrom(3, 4096),
  number: fc.integer({ min: 1, max: 50 }),
});

describe('a cohort', () => {
  it('has as many different candidates as asked for and there are, in client-id order', () => {
    fc.assert(
      fc.property(candidates, choice, (given, chosen) => {
        const cohort = choose(given, chosen);
        const { size, cohortMax } = chosen;
        const wanted = Math.min(size === 'all' ? Infinity : size, given.length, cohortMax);
        expect(cohort).toHaveLength(wanted);
        expect(new Set(ids(cohort)).size).toBe(wanted);
        for (const member of cohort) expect(given).toContainEqual(member);
        expect(ids(cohort)).toEqual([...ids(cohort)].sort());
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it('does not depend on the order in which clients came', () => {
    fc.assert(
      fc.property(candidates, choice, (given, chosen) => {
        const mixed = shuffled(given, randomStream('arrival', chosen.seed));
        expect(choose(mixed, chosen)).toEqual(choose(given, chosen));
      }),
      { seed: 5, numRuns: 200 },
    );
  });

  it('takes everybody with a required role, or one of each where there are too many', () => {
    fc.assert(
      fc.property(candidates, choice, (given, chosen) => {
        const cohort = choose(given, chosen);
        const needed = given.filter(({ role }) => chosen.required.includes(role));
        if (needed.length <= cohort.length) {
          for (const member of needed) expect(cohort).toContainEqual(member);
        }
        const roles = new Set(needed.map(({ role }) => role));
        if (roles.size > cohort.length) return;
        for (const role of roles) expect(cohort.some((member) => member.role === role)).toBe(true);
      }),
      { seed: 6, numRuns: 300 },
    );
  });

  it('has the one target even where every source is required too and the target sorts last', () => {
    const target: Candidate = { clientId: 'zz', role: 'target' };
    const cohort = choose([...sources(50), target], { size: 5, required: ['source', 'target'] });
    expect(cohort).toHaveLength(5);
    expect(cohort).toContainEqual(target);
  });

  it('is drawn anew each round and each attempt, and the same for the same seed', () => {
    const clients = sources(100);
    const drawn = (more: Choice): string => ids(choose(clients, { size: 10, ...more })).join();
    const draws = [
      drawn({}),
      drawn({ number: 2 }),
      drawn({ attempt: 2 }),
      drawn({ seed: 2 }),
      drawn({ number: 2, seed: 2 }),
    ];
    expect(new Set(draws).size).toBe(draws.length);
    expect(drawn({})).toBe(draws[0]);
  });

  it.each<[string, Role[]]>([
    ['nobody', []],
    ['their role', ['source']],
  ])('lets every client in equally often where %s is required', (_, required) => {
    const clients = sources(20);
    const counts = new Map<string, number>();
    for (let number = 1; number <= 2000; number++) {
      for (const id of ids(choose(clients, { size: 5, number, required }))) {
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }
    }
    // 500 each; six standard deviations.
    expect(counts.size).toBe(20);
    for (const count of counts.values()) expect(Math.abs(count - 500)).toBeLessThan(120);
  });
});

describe('client-id order', () => {
  it('is that of UTF-16 code units, whatever the locale says', () => {
    const names = ['ada', 'Bo', '_', '10', '9', 'Ärmel', 'a-b', 'aB'];
    const sorted = names.map((clientId) => ({ clientId })).sort(byClientId);
    expect(sorted.map(({ clientId }) => clientId)).toEqual([...names].sort());
    expect(names.sort((a, b) => a.localeCompare(b, 'en'))).not.toEqual([...names].sort());
  });
});
