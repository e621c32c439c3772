/** The table of the fault bench, at 80 columns, and what in it is not as it should be. */
import { table } from '../../server/cli/output.js';
import type { Row } from './row.js';

export function lines(rows: readonly Row[]): string {
  const head = ['disturbed', 'times', 'lost', 'double', 'differing', 'ready s', 'at work s', 'max'];
  const body = rows.map((row) => [
    ...[row.name, timesDone(row), row.lost.length, row.double.length, row.differing.length],
    ...[shown(row.readyMs, median), shown(row.recoveryMs, median)],
    shown(row.recoveryMs, (all) => Math.max(...all)),
  ]);
  return `${table(head, body)}
lost: updates with a receipt that did not count with their weight; double: counted
more than once; differing: checkpoints that are not bit by bit those of the run that
nothing happened to; ready, at work: from the start of the next process (or from the
end of the outage) to its first answer, and to its first receipt or commit`;
}

/**
 * What is wrong with a row, in words.
 * @param slack so many times the limit may a recovery take
 */
export function faultsOf(row: Row, slack = 1): string[] {
  const { name, lost, double, differing, recoveryMs, limitMs, failures } = row;
  const slow = recoveryMs.filter((ms) => ms > slack * limitMs);
  return [
    ...failures.map((what) => `${name}: ${what}`),
    ...lost.map((what) => `${name}: lost: ${what}`),
    ...double.map((what) => `${name}: counted twice: ${what}`),
    ...differing.map((what) => `${name}: differs: ${what}`),
    ...slow.map((ms) => `${name}: back at work after ${seconds(ms)} s`),
    ...(timesDone(row) < row.times ? [`${name}: only ${timesDone(row)} times`] : []),
    ...(recoveryMs.length === 0 ? [`${name}: no recovery was seen`] : []),
  ];
}

/** Disturbances that really took place. */
function timesDone({ done }: Row): number {
  return Object.values(done).reduce((sum, each) => sum + each, 0);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Seconds, or a dash where nothing was measured. */
function shown(values: readonly number[], of: (values: readonly number[]) => number) {
  return values.length > 0 ? seconds(of(values)).toFixed(2) : '-';
}

function seconds(ms: number): number {
  return Number((ms / 1000).toFixed(2));
}
