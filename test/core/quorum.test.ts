import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Quorum, Role } from '../../protocol/run.js';
import type { Asked, QuorumStanding } from '../../server/core/quorum.js';
import { quorumOf as standingOf } from '../../server/core/quorum.js';
import type { TallyRow } from '../../server/core/round.js';

type Counts = Partial<Record<TallyRow['state'], number>>;

function tally(counts: Counts, role: Role = 'source', kind: TallyRow['kind'] = 'train') {
  return Object.entries(counts).map(([state, count]): TallyRow => ({
    kind,
    role,
    state: state as TallyRow['state'],
    count,
  }));
}

/** Of a round that waits for everybody invited, or for `wanted` of them. */
function quorumOf(
  rows: readonly TallyRow[],
  asked: Quorum,
  minUpdates: number,
  more: Partial<Asked & { wanted: number }> = {},
): QuorumStanding {
  const { wanted = null, replacements = 0 } = more;
  return standingOf({ tally: rows, wanted }, asked, { minUpdates, replacements });
}

function quorum(more: Partial<Quorum> = {}): Quorum {
  return { min: 1, share: 0, required: [], ...more };
}

describe('a quorum', () => {
  it.each<[string, Counts, Partial<Quorum>, number, boolean, boolean]>([
    // what                     tally                             quorum       rule  missing hopeless
    ['nobody answered yet', { invited: 3 }, { min: 2 }, 1, true, false],
    ['one answer too few', { invited: 2, accepted: 1 }, { min: 2 }, 1, true, false],
    ['just enough', { invited: 1, accepted: 2 }, { min: 2 }, 1, false, false],
    ['too few are left', { invited: 1, dropped: 2 }, { min: 2 }, 1, true, true],
    ['the last one can save it', { invited: 1, accepted: 1, late: 1 }, { min: 2 }, 1, true, false],
    ['rejected ones do not count', { rejected: 3 }, { min: 1 }, 1, true, true],
    ['the rule needs more than the run', { accepted: 2 }, { min: 1 }, 3, true, true],
    ['half of five is three', { accepted: 2, dropped: 3 }, { share: 0.5 }, 1, true, true],
    ['three of five are half', { accepted: 3, dropped: 2 }, { share: 0.5 }, 1, false, false],
    ['all of them', { accepted: 4, invited: 1 }, { share: 1 }, 1, true, false],
    ['a share of nothing still needs min', { dropped: 4 }, { share: 0 }, 1, true, true],
    ['nobody was invited', {}, {}, 1, true, true],
  ])('%s', (_, counts, more, minUpdates, isMissing, isHopeless) => {
    const { missing, hopeless } = quorumOf(tally(counts), quorum(more), minUpdates);
    expect([missing !== null, hopeless !== null]).toEqual([isMissing, isHopeless]);
  });

  it('counts training only, whatever the evaluators do', () => {
    const rows = [...tally({ accepted: 1 }), ...tally({ invited: 9 }, 'source', 'evaluate')];
    expect(quorumOf(rows, quorum(), 1)).toMatchObject({ invited: 1, accepted: 1, open: 0 });
  });

  it('rounds a share up to whole updates, without the noise of binary fractions', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: 1, max: 65_536 }),
        (thousandths, invited) => {
          const needed = Math.max(1, Number((BigInt(thousandths * invited) + 999n) / 1000n));
          const missingWith = (accepted: number): string | null => {
            const rows = tally({ accepted, dropped: invited - accepted });
            return quorumOf(rows, quorum({ share: thousandths / 1000 }), 1).missing;
          };
          expect(missingWith(needed)).toBeNull();
          expect(missingWith(needed - 1)).not.toBeNull();
        },
      ),
      { seed: 7, numRuns: 500 },
    );
  });

  it('misses a required role that was invited and not accepted, however many others are', () => {
    const required = quorum({ required: ['target'] });
    const others = tally({ accepted: 100 });
    const standing = (counts: Counts) =>
      quorumOf([...others, ...tally(counts, 'target')], required, 1);
    expect(standing({ accepted: 1 })).toMatchObject({ missing: null, hopeless: null });
    expect(standing({ invited: 1 }).hopeless).toBeNull();
    expect(standing({ invited: 1 }).missing).toContain('target');
    for (const state of ['rejected', 'late', 'dropped'] as const) {
      expect(standing({ [state]: 1 }).hopeless).toContain('target');
    }
    expect(standing({ accepted: 1, dropped: 1 }).hopeless).toContain('target');
    expect(standing({}).hopeless).toContain('target');
  });

  it('is of the updates wanted: who was invited to spare may fail', () => {
    const half = quorum({ share: 0.5 });
    const rows = tally({ accepted: 5, dropped: 8 });
    expect(quorumOf(rows, half, 1, { wanted: 10 })).toMatchObject({ missing: null, invited: 13 });
    expect(quorumOf(rows, half, 1, { wanted: 11 }).hopeless).not.toBeNull();
    expect(quorumOf(rows, half, 1).hopeless).not.toBeNull();
  });

  it('is complete with the updates wanted, whoever else is at work, and not without a required role', () => {
    const asked = quorum({ required: ['target'] });
    const sources = tally({ accepted: 9, invited: 4 });
    const complete = (counts: Counts, wanted = 10): boolean =>
      quorumOf([...sources, ...tally(counts, 'target')], asked, 1, { wanted }).complete;
    expect(complete({ accepted: 1 })).toBe(true);
    expect(complete({ accepted: 1 }, 11)).toBe(false);
    expect(complete({ invited: 1 }, 9)).toBe(false);
    expect(quorumOf(tally({ accepted: 3, invited: 1 }), quorum(), 1).complete).toBe(false);
    expect(quorumOf(tally({ accepted: 4 }), quorum(), 1).complete).toBe(true);
  });

  it('is not hopeless while replacements could still bring what is lacking', () => {
    const rows = tally({ accepted: 2, invited: 1, dropped: 3 });
    const hopeless = (replacements: number): string | null =>
      quorumOf(rows, quorum({ min: 5 }), 1, { wanted: 6, replacements }).hopeless;
    expect(hopeless(1)).toContain('5 needed');
    expect(hopeless(2)).toBeNull();
    // They have no required role, so they cannot make up for one.
    const required = quorum({ required: ['target'] });
    const lost = [...rows, ...tally({ dropped: 1 }, 'target')];
    expect(quorumOf(lost, required, 1, { replacements: 9 }).hopeless).toContain('target');
  });

  const states = ['invited', 'accepted', 'rejected', 'late', 'dropped'] as const;
  const rows = fc.array(
    fc.record<TallyRow>({
      kind: fc.constantFrom('train', 'train', 'evaluate'),
      role: fc.constantFrom<Role>('source', 'target'),
      state: fc.constantFrom(...states),
      count: fc.integer({ min: 0, max: 3 }),
    }),
    { maxLength: 6 },
  );
  const rule = fc.record({
    min: fc.integer({ min: 1, max: 6 }),
    share: fc.constantFrom(0, 0.3, 0.5, 0.9, 1),
    required: fc.subarray<Role>(['source', 'target']),
  });

  it('is hopeless exactly where it would be missed if everybody still answered well', () => {
    fc.assert(
      fc.property(rows, rule, fc.integer({ min: 1, max: 4 }), (given, asked, minUpdates) => {
        const best = given.map((row) =>
          row.state === 'invited' ? { ...row, state: 'accepted' as const } : row,
        );
        const { hopeless, missing } = quorumOf(given, asked, minUpdates);
        expect(hopeless === null).toBe(quorumOf(best, asked, minUpdates).missing === null);
        if (hopeless !== null) expect(missing).not.toBeNull();
      }),
      { seed: 8, numRuns: 1000 },
    );
  });

  it('never becomes worse by an update that is accepted, nor better by one that is not', () => {
    fc.assert(
      fc.property(
        rows,
        rule,
        fc.nat(5),
        fc.constantFrom(...states),
        (given, asked, index, answer) => {
          const open = given.filter(({ state, count }) => state === 'invited' && count > 0);
          if (open.length === 0 || answer === 'invited') return;
          const chosen = open[index % open.length];
          const after = [
            ...given.filter((row) => row !== chosen),
            { ...chosen, count: chosen.count - 1 },
            { ...chosen, state: answer, count: 1 },
          ];
          const [was, is] = [quorumOf(given, asked, 1), quorumOf(after, asked, 1)];
          if (answer === 'accepted') {
            if (was.missing === null) expect(is.missing).toBeNull();
            if (was.hopeless === null) expect(is.hopeless).toBeNull();
          } else {
            if (was.missing !== null) expect(is.missing).not.toBeNull();
            if (was.hopeless !== null) expect(is.hopeless).not.toBeNull();
          }
        },
      ),
      { seed: 9, numRuns: 1000 },
    );
  });
});
