import { describe, expect, it } from 'vitest';
import type { TrainingConfig } from '../../protocol/model.js';
import {
  MAX_EXAMPLES,
  checkReported,
  countFlags,
  countedReport,
  countedExamples,
} from '../../server/core/admission.js';

type Work = Pick<TrainingConfig, 'epochs' | 'batchSize' | 'steps'>;

const flags = (
  numExamples: number,
  numSteps: number,
  work: Work,
  examplesMax?: number,
): readonly string[] => countFlags({ numExamples, numSteps }, work, examplesMax);

describe('the examples that an update reports', () => {
  it('count up to the cap of the run, and are taken above it', () => {
    expect(countedExamples(7, undefined)).toBe(7);
    expect(countedExamples(7, 7)).toBe(7);
    expect(countedExamples(8, 7)).toBe(7);
    const reported = { assignmentId: 'a', numExamples: 2 ** 50, numSteps: 1, metrics: {} };
    expect(() => checkReported(reported, 'a', MAX_EXAMPLES)).not.toThrow();
    expect(() => checkReported(reported, 'a', MAX_EXAMPLES + 1)).toThrow(
      expect.objectContaining({ code: 'over_cap' }),
    );
  });

  it('are flagged above the cap, with the number that was reported', () => {
    const work = { epochs: 1, batchSize: 10 };
    expect(flags(95, 10, work, 95)).toEqual([]);
    expect(flags(95, 10, work, 40)).toEqual([
      'reports 95 examples, and 40 count (caps.examplesMax)',
    ]);
  });
});

describe('the counts of an update', () => {
  it.each([
    [384, 12, { epochs: 1, batchSize: 32 }],
    [353, 12, { epochs: 1, batchSize: 32 }],
    [1, 1, { epochs: 1, batchSize: 32 }],
    [65, 9, { epochs: 3, batchSize: 32 }],
    [5, 15, { epochs: 3, batchSize: 1 }],
  ])('fit: %i examples, %i steps, %o', (numExamples, numSteps, work) => {
    expect(flags(numExamples, numSteps, work)).toEqual([]);
  });

  it('fit for any number of examples, batch and epochs, when all batches were taken', () => {
    for (let n = 1; n < 200; n += 7) {
      for (const [epochs, batchSize] of [
        [1, 1],
        [2, 32],
        [5, 7],
        [3, 1000],
      ]) {
        const numSteps = epochs * Math.ceil(n / batchSize);
        expect(flags(n, numSteps, { epochs, batchSize })).toEqual([]);
      }
    }
  });

  it.each<[number, number, Work, string]>([
    [
      100_000,
      12,
      { epochs: 1, batchSize: 32 },
      'reports 100000 examples, but no more than 384 fit into 12 steps of 32 in 1 epoch',
    ],
    [
      65,
      6,
      { epochs: 3, batchSize: 32 },
      'reports 65 examples, but no more than 64 fit into 6 steps of 32 in 3 epochs',
    ],
    [
      10,
      500,
      { epochs: 1, batchSize: 32 },
      'reports 10 examples, but no fewer than 15969 make 500 steps of 32 in 1 epoch',
    ],
    [9, 4, { epochs: 1, batchSize: 32, steps: 5 }, 'reports 4 steps, and 5 were asked'],
  ])('are flagged where they do not: %i examples, %i steps, %o', (examples, steps, work, flag) => {
    expect(flags(examples, steps, work)).toEqual([flag]);
  });

  it('say nothing of examples where the steps were asked for', () => {
    const work = { epochs: 1, batchSize: 32, steps: 5 };
    expect(flags(1_000_000, 5, work)).toEqual([]);
  });
});

describe('the examples that an evaluation reports', () => {
  const report = { numExamples: 400, sums: { accuracy: 300, loss: 50 } };

  it('count as they are up to the cap of the run, and as the cap above it, with their means', () => {
    expect(countedReport(report, undefined)).toEqual(report);
    expect(countedReport(report, 400)).toEqual(report);
    const capped = { numExamples: 100, sums: { accuracy: 75, loss: 12.5 } };
    expect(countedReport(report, 100)).toEqual(capped);
    const boast = { numExamples: 9e15, sums: { accuracy: 9e15 } };
    expect(countedReport(boast, 8)).toEqual({ numExamples: 8, sums: { accuracy: 8 } });
  });

  it('are refused where more would count than any update may report', () => {
    const overCap = expect.objectContaining({ code: 'over_cap' }) as Error;
    const most = { ...report, numExamples: MAX_EXAMPLES };
    expect(countedReport(most, undefined)).toEqual(most);
    for (const cap of [undefined, MAX_EXAMPLES + 1]) {
      expect(() => countedReport({ ...most, numExamples: MAX_EXAMPLES + 1 }, cap)).toThrow(overCap);
      expect(() => countedReport({ ...most, numExamples: 9e15 }, cap)).toThrow(overCap);
    }
  });

  it('are refused with a sum that would make the sum of all sites infinite', () => {
    for (const loss of [1e308, -1e308]) {
      expect(() => countedReport({ numExamples: 1, sums: { loss } }, 1)).toThrow(
        expect.objectContaining({ code: 'over_cap', details: { metric: 'loss' } }),
      );
    }
    const great = { numExamples: 1, sums: { loss: 1e290 } };
    expect(countedReport(great, undefined)).toEqual(great);
  });
});
