import { expect, it } from 'vitest';
import type { RoundSummary, RunDetail } from '../../protocol/http.js';
import { runSpec } from '../../protocol/run.js';
import { shown } from '../../server/cli/run/runs.js';

const spec = runSpec.parse({
  name: 'long',
  task: {
    name: 'toy',
    model: { format: 'opaque', body: null, tensors: [{ name: 'w', shape: [1] }] },
    data: { features: { shape: [1] }, labels: { kind: 'class', classes: 2 } },
  },
  rule: { name: 'fedavg' },
  rounds: 2000,
  init: { blob: 'a'.repeat(64) },
});

function roundAt(round: number): RoundSummary {
  return {
    ...{ round, attempt: 1, phase: 'closed', reason: null, version: round, bytes: 1 },
    ...{ invited: 1, accepted: 1, rejected: 0, dropped: 0, diagnostics: {}, evaluation: null },
    ...{ checkpointSha256: null, openedAt: '2026-01-01T00:00:00.000Z', closedAt: null },
  };
}

/** So many rounds from a place on, of so many in all. */
function page(historyFrom: number, length: number, roundsInAll: number): RunDetail {
  return {
    ...{ id: 'r', name: 'long', rule: 'fedavg', status: 'running', reason: null, round: 5, spec },
    ...{ rounds: 2000, version: 5, createdAt: '2026-01-01T00:00:00.000Z', clients: [], now: '' },
    history: Array.from({ length }, (_, i) => roundAt(historyFrom + i)),
    ...{ historyFrom, roundsInAll },
  };
}

const note = (detail: RunDetail): string | undefined =>
  shown(detail)
    .split('\n')
    .find((line) => line.includes('not shown'));

it.each([
  [1, 3, 3, undefined],
  [1, 0, 0, undefined],
  [2, 100, 101, '1 earlier round is not shown: tributary run show r --from 1'],
  [1901, 100, 2000, '1900 earlier rounds are not shown: tributary run show r --from 1801'],
  [1, 100, 2000, '1900 later rounds are not shown: tributary run show r --from 101'],
  [51, 100, 2000, '50 earlier and 1850 later rounds are not shown: tributary run show r --from 1'],
  [3000, 0, 2000, '2000 earlier rounds are not shown: tributary run show r --from 1901'],
])('a page from %i, of %i rounds of %i, says what it leaves out', (from, length, inAll, says) => {
  expect(note(page(from, length, inAll))).toBe(says);
});
