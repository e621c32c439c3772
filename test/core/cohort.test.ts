import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Role } from '../../protocol/run.js';
import {
  byClientId,
  chooseCohort,
  chooseReplacements,
  overSelected,
} from '../../server/core/cohort.js';
import type { Invitation } from '../../server/core/cohort.js';
import { randomStream, shuffled } from '../../server/core/random.js';
import type { Candidate } from '../../server/core/round.js';

interface Choice {
  readonly seed?: number;
  readonly size?: number | 'all';
  readonly overSelection?: number;
  readonly required?: Role[];
  readonly cohortMax?: number;
  readonly number?: number;
  readonly attempt?: number;
}

function choose(candidates: readonly Candidate[], choice: Choice = {}): readonly Candidate[] {
  return invite(candidates, choice).cohort;
}

function invite(candidates: readonly Candidate[], choice: Choice = {}): Invitation {
  const { seed = 1, size = 'all', required = [], cohortMax = 4096 } = choice;
  const { number = 1, attempt = 1, overSelection = 1 } = choice;
  const spec = {
    seed,
    cohort: { size, overSelection, waitMs: 1 },
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

describe('over-selection', () => {
  const spread = fc.constantFrom(1, 1.1, 1.3, 2, 10);
  const spared = fc.tuple(choice, spread).map(([chosen, overSelection]) => ({
    ...{ ...chosen, overSelection },
    required: chosen.required.filter((role): boolean => role === 'target'),
  }));

  it('invites so many times the size, as far as they are there and the caps allow', () => {
    fc.assert(
      fc.property(candidates, spared, (given, chosen) => {
        const { size, cohortMax, overSelection, required } = chosen;
        const { cohort, wanted } = invite(given, chosen);
        const places = Math.min(size === 'all' ? given.length : size, given.length, cohortMax);
        expect(wanted).toBe(places);
        expect(cohort.length).toBeGreaterThanOrEqual(places);
        expect(cohort.length).toBeLessThanOrEqual(cohortMax);
        // Of those with a required role nobody is added.
        if (required.length > 0) return;
        const asked = size === 'all' ? places : overSelected(size, overSelection);
        expect(cohort).toHaveLength(Math.min(asked, given.length, cohortMax));
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  it('adds to those who would be drawn without it, and nobody with a required role', () => {
    fc.assert(
      fc.property(candidates, spared, (given, chosen) => {
        const alone = choose(given, { ...chosen, overSelection: 1 });
        const cohort = choose(given, chosen);
        for (const member of alone) expect(cohort).toContainEqual(member);
        const added = cohort.filter((member) => !alone.includes(member));
        expect(added.filter(({ role }) => chosen.required.includes(role))).toEqual([]);
        expect(ids(cohort)).toEqual([...ids(cohort)].sort());
      }),
      { seed: 12, numRuns: 300 },
    );
  });

  it('adds nobody where the role of everybody is required', () => {
    const cohort = choose(sources(30), { size: 10, overSelection: 2, required: ['source'] });
    expect(cohort).toHaveLength(10);
  });

  it('counts without the noise of binary fractions', () => {
    expect([overSelected(10, 1.1), overSelected(10, 1.3), overSelected(200, 1.3)]).toEqual([
      11, 13, 260,
    ]);
    expect([overSelected(1, 1.3), overSelected(3, 1.3), overSelected(7, 1)]).toEqual([2, 4, 7]);
  });
});

describe('replacements', () => {
  const drawn = (from: readonly Candidate[], count: number, more: Choice = {}): string[] => {
    const { number = 1, attempt = 1, seed = 1 } = more;
    return ids(chooseReplacements({ number, attempt }, { seed }, from, count));
  };

  it('are the same however many drop out at a time', () => {
    fc.assert(
      fc.property(candidates, fc.nat(10), fc.nat(10), fc.nat(), (given, first, then, seed) => {
        const before = drawn(given, first, { seed });
        const left = given.filter(({ clientId }) => !before.includes(clientId));
        const after = drawn(left, then, { seed });
        const mixed = shuffled(given, randomStream('arrival', seed));
        expect(drawn(mixed, first + then, { seed })).toEqual([...before, ...after].sort());
      }),
      { seed: 13, numRuns: 200 },
    );
  });

  it('are drawn anew each round and each attempt, and not in client-id order', () => {
    const draws = [{}, { number: 2 }, { attempt: 2 }, { seed: 2 }].map((more) =>
      drawn(sources(100), 10, more).join(),
    );
    expect(new Set(draws).size).toBe(4);
    expect(draws[0]).not.toBe(
      ids([...sources(100)].sort(byClientId))
        .slice(0, 10)
        .join(),
    );
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
