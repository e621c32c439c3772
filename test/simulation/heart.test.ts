import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { HEART_FEATURES, loadHeart, sharedDataFolder } from '../../server/simulation/heart.js';

const folder = join(sharedDataFolder(), 'heart-disease');
const there = existsSync(folder);

function column(set: Dataset, index: number): number[] {
  return Array.from({ length: set.size }, (_, row) => set.features[13 * row + index]);
}

const mean = (values: readonly number[]): number =>
  values.reduce((a, b) => a + b, 0) / values.length;

// The data set is not part of the repository: it lies beside it, in ../shared/data.
describe.skipIf(!there)(`the heart data${there ? '' : ` (skipped: no ${folder})`}`, () => {
  it('has the centres and sizes of its README', async () => {
    const centres = await loadHeart();
    expect(centres.map(({ name, train, test }) => [name, train.size, test.size])).toEqual([
      ['cleveland', 199, 104],
      ['hungarian', 172, 89],
      ['switzerland', 30, 16],
      ['va', 85, 45],
    ]);
    for (const { train } of centres) expect(train.features.length).toBe(13 * train.size);
    expect(HEART_FEATURES).toHaveLength(13);
  });

  it("has .721 as the accuracy of each centre's training majority, as its README says", async () => {
    const scores = (await loadHeart()).map(({ train, test }) => {
      const majority = Number(mean([...train.labels]) > 0.5);
      return mean([...test.labels].map((label) => Number(label === majority)));
    });
    expect(mean(scores)).toBeCloseTo(0.721, 3);
  });

  it("is standardised by each centre's own training rows, by n - 1", async () => {
    for (const { name, train } of await loadHeart()) {
      for (let index = 0; index < 13; index++) {
        const values = column(train, index);
        const centre = mean(values);
        const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
        expect(Math.abs(centre)).toBeLessThan(1e-6);
        const deviation = Math.sqrt(squares / (values.length - 1));
        // In Switzerland nobody's cholesterol was measured: 0 in every row.
        const constant = values.every((value) => value === 0);
        expect(deviation).toBeCloseTo(constant ? 0 : 1, 5);
        if (constant) expect([name, HEART_FEATURES[index]]).toEqual(['switzerland', 'chol']);
      }
    }
  });

  it('encodes and standardises the first patient as computed apart', async () => {
    // 63,1,1,145,233,1,2,150,0,2.3 of Cleveland; expected: Python's statistics.mean and .stdev over
    // the 199 training rows, columns in the order of HEART_FEATURES.
    const [{ train }] = await loadHeart();
    const expected = [
      ...[0.964973, 0.678902, 0.702076, -0.31988, 2.41508, -0.031869, -0.67103, 1.13163],
      ...[-0.395206, -0.63975, -0.972729, -0.100505, 0.992484],
    ];
    expected.forEach((value, i) => expect(train.features[i]).toBeCloseTo(value, 5));
    expect([...train.labels.subarray(0, 2)]).toEqual([0, 1]);
  });
});

describe('the heart loader', () => {
  let made = '';
  const centres = ['cleveland', 'hungarian', 'switzerland', 'va'];
  const rows = [
    '60,1,1,120,200,0,0,150,0,1.5,?,?,?,0',
    '?,1,2,130,210,1,1,140,1,.5,1,0,3,2',
    '50.0,0.0,2.0,130,210,1,1,140,1,.5,1,0,3,2',
    '40,1,3,110,190,0,2,160,0,0,2,?,7,0',
  ];

  beforeAll(async () => {
    made = await mkdtemp(join(tmpdir(), 'tributary-heart-'));
  });
  afterAll(async () => {
    await rm(made, { recursive: true });
  });

  async function write(changed: Partial<Record<string, readonly string[]>> = {}): Promise<void> {
    for (const centre of centres) {
      const text = (changed[centre] ?? rows).join('\n');
      await writeFile(join(made, `processed.${centre}.data`), `${text}\n`);
    }
    const split = centres.map((center) => ({ center, train: [0, 1], test: [2] }));
    await writeFile(join(made, 'split.json'), JSON.stringify(split));
  }

  it('counts rows after those with a missing value, and takes 1.0 and 1 for one level', async () => {
    await write();
    const [{ train, test }] = await loadHeart(made);
    // Levels cp 1, 2, 3 and restecg 0, 1, 2: 8 + 2 + 2 features, the base level without a column.
    expect([train.size, test.size, train.features.length]).toEqual([2, 1, 24]);
    const half = Math.fround(Math.SQRT1_2);
    // (60, 50) standardised by n - 1 is +-1/sqrt(2); 40 lies 2.12 deviations below.
    expect(train.features[0]).toBe(half);
    expect(train.features[12]).toBe(-half);
    expect(test.features[0]).toBeCloseTo(-15 / Math.sqrt(50), 6);
    // cp_3 does not vary in the training rows: 0, also in the test row, where it is 1.
    expect([train.features[9], test.features[9]]).toEqual([0, 0]);
    expect([...train.labels, ...test.labels]).toEqual([0, 1, 0]);
  });

  it('says which folder it looked in where the data is absent', async () => {
    const missing = join(made, 'nowhere');
    await expect(loadHeart(missing)).rejects.toMatchObject({ code: 'not_found' });
    await expect(loadHeart(missing)).rejects.toThrow(/nowhere.*TRIBUTARY_SHARED_DATA/);
  });

  it.each<[string, string[], RegExp]>([
    ['a word', ['x,1,1,120,200,0,0,150,0,1.5,?,?,?,0'], /va\.data: line 1, column 0: "x"/],
    [
      'an empty field',
      [rows[0], ',1,1,1,1,0,0,1,0,1,?,?,?,0'],
      /line 2, column 0: "" is no number/,
    ],
    ['a short row', ['1,2,3'], /line 1: 3 columns, not 14/],
    ['too few rows', [rows[0]], /split\.json: va has no row 1, only 1/],
  ])('refuses %s by file and line', async (_, lines, message) => {
    await write({ va: lines });
    await expect(loadHeart(made)).rejects.toThrow(message);
  });
});
