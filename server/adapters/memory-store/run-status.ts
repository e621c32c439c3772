/** The status of a run, where it changes apart from a round: paused and resumed. */
import type { RunStatus } from '../../../protocol/run.js';
import type { NewStatus } from '../../core/ports.js';
import type { State } from './state.js';
import { textOrNull, withEvents } from './state.js';

export function setStatus(
  { runs, sign }: State,
  runId: string,
  from: readonly RunStatus[],
  { status, reason, event }: NewStatus,
): boolean {
  const entry = runs.get(runId);
  if (!entry || !from.includes(entry.run.status)) return false;
  const run = { ...entry.run, status, reason: textOrNull(reason) };
  entry.events = withEvents(entry, [event], sign);
  entry.run = run;
  return true;
}

export function countRuns({ runs }: State): Partial<Record<RunStatus, number>> {
  const counts: Partial<Record<RunStatus, number>> = {};
  for (const { run } of runs.values()) counts[run.status] = (counts[run.status] ?? 0) + 1;
  return counts;
}
