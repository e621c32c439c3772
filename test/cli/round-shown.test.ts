import { expect, it } from 'vitest';
import type { RoundDetail } from '../../protocol/http.js';
import { roundShown } from '../../server/cli/run/round.js';

const round: RoundDetail = {
  ...{ round: 3, attempt: 1, phase: 'closed', reason: null, version: 3, checkpointSha256: null },
  ...{ invited: 1, accepted: 1, rejected: 0, dropped: 0, bytes: 512, diagnostics: {} },
  ...{ evaluation: null, openedAt: '2026-01-01T00:00:00.000Z', closedAt: null },
  updates: [
    {
      ...{ assignmentId: 'a', clientId: 'anna', role: 'source', kind: 'train', state: 'accepted' },
      ...{ receipt: null, numExamples: 5, numSteps: 2, norm: 1, metrics: {}, weight: 1 },
      bytes: 512,
      flags: ['reports 90000 examples, and 5 count (caps.examplesMax)'],
    },
  ],
};

it('a round shows what is odd about its updates', () => {
  const lines = roundShown(round).split('\n');
  expect(lines).toContain('anna reports 90000 examples, and 5 count (caps.examplesMax)');
});
