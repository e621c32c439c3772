/** The ledgers, of runs and of the coordinator itself, and the key that they are signed with. */
import type { Request, Router } from 'express';
import { TributaryError } from '../../../protocol/errors.js';
import type { EventList } from '../../../protocol/http.js';
import type { EventPage, LedgerEvent } from '../../core/ports.js';
import { numberParam } from './ids.js';
import type { HttpParts } from './parts.js';
import { runId, runOf } from './runs.js';

/**
 * Most events of one answer, also where nobody asks for pages: it is held in memory, a long run has
 * very many, and those of a great round name every client of its cohort.
 */
const MAX_PAGE = 100;

export function ledgerRoutes(router: Router, { store, auth, ledgerKey }: HttpParts): void {
  router.get('/v1/ledger-key', (_req, res) => {
    if (ledgerKey) res.json(ledgerKey);
    else throw new TributaryError('not_found', 'the ledgers of this coordinator are not signed');
  });

  router.get('/v1/events', async (req, res) => {
    await auth.viewer(req);
    res.json(listed(await store.coordinatorEvents(pageOf(req))));
  });

  router.get('/v1/runs/:run/events', async (req, res) => {
    await auth.viewer(req);
    const run = await runOf(store, runId(req));
    res.json(listed(await store.events(run.id, pageOf(req))));
  });
}

/** `?from=SEQ&limit=N`; the first page where neither is given. */
function pageOf({ query }: Request): EventPage {
  const from = query.from === undefined ? 1 : numberParam(query.from, 'from');
  const limit = query.limit === undefined ? MAX_PAGE : numberParam(query.limit, 'limit');
  return { from, limit: Math.min(limit, MAX_PAGE) };
}

function listed(events: readonly LedgerEvent[]): EventList {
  return {
    events: events.map((event) => ({ ...event, at: new Date(event.at).toISOString() })),
  };
}
