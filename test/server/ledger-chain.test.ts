import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../server/adapters/canonical-json.js';
import { appendEvents, GENESIS_HASH, verifyChain } from '../../server/adapters/ledger-chain.js';
import type { LedgerEvent } from '../../server/core/records.js';

const at = 1_700_000_000_000;

describe('the ledger chain', () => {
  it('hashes what the documentation says', () => {
    const events = appendEvents(null, [
      { at, type: 'run-created', body: { rule: 'fedavg', seed: 7 } },
      { at: at + 1, type: 'round-committed', body: { weights: { b: 0.75, a: 0.25 } } },
    ]);
    // printf '%s' '<64 zeros>{"at":1700000000000,"body":{"rule":"fedavg","seed":7},"seq":1,"type":"run-created"}' | sha256sum
    expect(events[0]).toMatchObject({ seq: 1, prevHash: GENESIS_HASH, hash: firstHash });
    expect(events[1]).toMatchObject({ seq: 2, prevHash: firstHash, hash: secondHash });
  });
  const firstHash = '3830b770ace75fa2660b91d3f50bc8e3f2fd0b71c58491fead4dda007fe03381';
  const secondHash = '2f6ce5c0a9ec975baeb3b033375dfef101b619f4e24e6f7409ca4a0e4b9616cb';

  const chain = appendEvents(
    null,
    Array.from({ length: 5 }, (_, i) => ({ at: at + i, type: `t${i}`, body: { i, nested: [i] } })),
  );

  it('grows in pieces to the same chain', () => {
    const bare = chain.map(({ at, type, body }) => ({ at, type, body }));
    const first = appendEvents(null, bare.slice(0, 2));
    expect([...first, ...appendEvents(first[1], bare.slice(2))]).toEqual(chain);
    expect(verifyChain(chain)).toBeNull();
    expect(verifyChain([])).toBeNull();
  });

  it.each<[string, (events: LedgerEvent[]) => LedgerEvent[], number]>([
    ['a changed body', (e) => e.with(2, { ...e[2], body: { i: 2, nested: [3] } }), 3],
    ['a changed time', (e) => e.with(2, { ...e[2], at: at + 3 }), 3],
    ['a changed type', (e) => e.with(2, { ...e[2], type: 't3' }), 3],
    ['a changed hash', (e) => e.with(2, { ...e[2], hash: GENESIS_HASH }), 3],
    ['an event taken out', (e) => e.toSpliced(2, 1), 4],
    ['the first event taken out', (e) => e.slice(1), 2],
    ['two events swapped', (e) => [e[0], e[2], e[1], e[3], e[4]], 3],
    ['an event put in twice', (e) => e.toSpliced(2, 0, e[1]), 2],
    [
      'an event rewritten with its hash',
      (e) => e.with(2, appendEvents(e[1], [{ at, type: 'forged', body: null }])[0]),
      4,
    ],
  ])('shows %s', (_, tamper, seq) => {
    expect(verifyChain(tamper([...chain]))).toMatchObject({ seq });
  });
});

describe('canonical JSON', () => {
  it('sorts members by UTF-16 code units and writes numbers as ECMAScript does', () => {
    // The example of RFC 8785, section 3.2.
    const example = {
      numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(example)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
    const names = { '\ufb33': 5, '\u20ac': 1, '\r': 2, '1': 3, '😀': 4, ö: 6 };
    expect(canonicalJson(names)).toBe('{"\\r":2,"1":3,"ö":6,"€":1,"😀":4,"\ufb33":5}');
  });

  it('is the same for the same content, however it is ordered', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(reversed(value))).toBe(text);
      }),
      { seed: 5 },
    );
  });

  function reversed(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== 'object' || value === null) return value;
    const members = Object.entries(value).reverse();
    return Object.fromEntries(members.map(([name, member]) => [name, reversed(member)]));
  }
});
