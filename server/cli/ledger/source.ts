/** Ledgers as a coordinator gives them out: page by page, whatever their length. */
import { TributaryError } from '../../../protocol/errors.js';
import type { EventList } from '../../../protocol/http.js';
import { MAX_PAGE } from '../../../protocol/http.js';
import type { LedgerEvent } from '../../core/records.js';
import type { Api } from '../api.js';

export type LedgerApi = Pick<Api, 'eventPage' | 'ledgerKey'>;

/**
 * The run that a command names, or null for the coordinator's own ledger.
 * @throws TributaryError `bad_request` where it is neither, or both.
 */
export function whichLedger(run: string | null, coordinator = false): string | null {
  if ((run !== null) !== coordinator) return run;
  throw new TributaryError('bad_request', 'name a run, or give --coordinator, and not both');
}

/** The events of a ledger, from the first. */
export async function* eventsFrom(
  api: Pick<LedgerApi, 'eventPage'>,
  run: string | null,
): AsyncGenerator<LedgerEvent> {
  for await (const page of pagesOf(api, run)) yield* page.map(toLedgerEvent);
}

/** All events at once, as the coordinator gives them out: to be shown, not to be kept. */
export async function wholeLedger(
  api: Pick<LedgerApi, 'eventPage'>,
  run: string,
): Promise<EventList['events']> {
  const events: EventList['events'] = [];
  for await (const page of pagesOf(api, run)) events.push(...page);
  return events;
}

async function* pagesOf(
  api: Pick<LedgerApi, 'eventPage'>,
  run: string | null,
): AsyncGenerator<EventList['events']> {
  for (let from = 1; ;) {
    const page = await api.eventPage(run, from, MAX_PAGE);
    yield page;
    if (page.length < MAX_PAGE) return;
    from = page[page.length - 1].seq + 1;
  }
}

export function toLedgerEvent(event: EventList['events'][number]): LedgerEvent {
  return { ...event, at: Date.parse(event.at) };
}
