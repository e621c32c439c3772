import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TensorSpec } from '../../protocol/model.js';
import { layoutOf, TILE, tiles } from '../../server/core/layout.js';

function tensor(name: string, shape: number[], role: TensorSpec['role'] = 'shared'): TensorSpec {
  return { name, shape, dtype: 'float32', role };
}

describe('a layout', () => {
  it('holds the tensors of one role, one after the other as the task names them', () => {
    const specs = [
      tensor('z', [3, 2]),
      tensor('mean', [4], 'buffer'),
      tensor('a', []),
      tensor('head', [9], 'local'),
      tensor('b', [5]),
    ];
    expect(layoutOf(specs, 'shared')).toEqual({
      tensors: [
        { name: 'z', start: 0, length: 6 },
        { name: 'a', start: 6, length: 1 },
        { name: 'b', start: 7, length: 5 },
      ],
      size: 12,
    });
    expect(layoutOf(specs, 'buffer').size).toBe(4);
    expect(layoutOf(specs, 'frozen')).toEqual({ tensors: [], size: 0 });
  });

  it('gives a tensor without elements a place of no length', () => {
    const { tensors, size } = layoutOf([tensor('none', [0, 7]), tensor('one', [1])], 'shared');
    expect(tensors.map(({ start, length }) => [start, length])).toEqual([
      [0, 0],
      [0, 1],
    ]);
    expect(size).toBe(1);
  });
});

describe('tiles', () => {
  it('cover a vector without gap or overlap, all but the last of full length', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.nat(5 * TILE),
          fc.nat(5).map((n) => n * TILE),
        ),
        (size) => {
          let end = 0;
          for (const { start, length } of tiles(size)) {
            expect(start).toBe(end);
            expect(length).toBe(Math.min(TILE, size - start));
            expect(length).toBeGreaterThan(0);
            end = start + length;
          }
          expect(end).toBe(size);
        },
      ),
      { seed: 3, numRuns: 100 },
    );
  });
});
