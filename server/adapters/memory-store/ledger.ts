/** The ledgers in memory: one a run, and the coordinator's own. */
import type { EventPage, LedgerStore } from '../../core/ports.js';
import type { LedgerEvent, NewEvent } from '../../core/records.js';
import { noSuchRun } from '../refusals.js';
import { type State, withEvents } from './state.js';

type Verbs = { [K in keyof LedgerStore]: (...args: Parameters<LedgerStore[K]>) => unknown };

/** The verbs as synchronous functions; the store makes promises of them. */
export function ledgerVerbs(state: State) {
  return {
    events: (runId: string, page?: EventPage) => pageOf(state.runs.get(runId)?.events ?? [], page),
    eventsOfType: (runId: string, type: string) =>
      (state.runs.get(runId)?.events ?? []).filter((event) => event.type === type),
    coordinatorEvents: (page?: EventPage) => pageOf(state.coordinatorEvents, page),
    append: (runId: string, events: readonly NewEvent[]): void => {
      const run = state.runs.get(runId);
      if (!run) throw noSuchRun(runId);
      run.events = withEvents(run, events, state.sign);
    },
    appendCoordinatorEvents: (events: readonly NewEvent[]): void => {
      const before = { events: state.coordinatorEvents };
      state.coordinatorEvents = withEvents(before, events, state.sign);
    },
  } satisfies Verbs;
}

/** Events are numbered from 1 without gaps, so their places follow from their numbers. */
function pageOf(events: readonly LedgerEvent[], page?: EventPage): LedgerEvent[] {
  if (!page) return [...events];
  const start = Math.max(page.from - 1, 0);
  return events.slice(start, start + page.limit);
}
