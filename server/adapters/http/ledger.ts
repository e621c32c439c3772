/** The ledgers, of runs and of the coordinator itself, and the key that they are signed with. */
import type { Request, Router } from 'express';
import { TributaryError } from '../../../protocol/errors.js';
import type { EventList } from '../../../protocol/http.js';
import type { EventPage } from '../../core/ports.js';
import type { LedgerEvent } from '../../core/records.js';
import { runOf } from '../../engine/known-runs.js';
import { pageOf } from './ids.js';
import type { HttpParts } from './parts.js';
import { runId } from './runs.js';
import { isoTime } from './views.js';

export function ledgerRoutes(router: Router, { store, auth, ledgerKey }: HttpParts): void {
  router.get('/v1/ledger-key', (_req, res) => {
    if (ledgerKey) res.json(ledgerKey);
    else throw new TributaryError('not_found', 'the ledgers of this coordinator are not signed');
  });

  router.get('/v1/events', async (req, res) => {
    await auth.viewer(req);
    res.json(listed(await store.coordinatorEvents(eventsAsked(req))));
  });

  router.get('/v1/runs/:run/events', async (req, res) => {
    await auth.viewer(req);
    const run = await runOf({ store }, runId(req));
    res.json(listed(await store.events(run.id, eventsAsked(req))));
  });
}

/** The first page where nothing is said. */
function eventsAsked(req: Request): EventPage {
  const { from, limit } = pageOf(req);
  return { from: from ?? 1, limit };
}

function listed(events: readonly LedgerEvent[]): EventList {
  return {
    events: events.map((event) => ({ ...event, at: isoTime(event.at) })),
  };
}
