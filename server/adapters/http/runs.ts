/** Runs: created, stopped and read by operators; their clients read who they are and the task. */
import type { Request, Router } from 'express';
import { TributaryError } from '../../../protocol/errors.js';
import type { Identity } from '../../../protocol/http.js';
import type { Store } from '../../core/ports.js';
import type { ListedRound, Run } from '../../core/records.js';
import { runOf } from '../../engine/known-runs.js';
import { readCommand } from './command.js';
import { idParam, numberParam, pageOf } from './ids.js';
import type { HttpParts } from './parts.js';
import { roundDetail, runDetail, runSummaries, runSummary } from './views.js';

/** A specification holds the layers of its model as JSON. */
const MAX_SPEC_BYTES = 4 * 1024 * 1024;

export function runRoutes(router: Router, parts: HttpParts): void {
  operatorRoutes(router, parts);
  readerRoutes(router, parts);
}

function operatorRoutes(router: Router, parts: HttpParts): void {
  const { engine, store, auth, presence } = parts;
  router.post('/v1/runs', async (req, res) => {
    const { by, body } = await readCommand(req, 'operator', MAX_SPEC_BYTES, parts);
    const run = await engine.createRun(body, by);
    res.status(201).json(await runSummary(store, run));
  });

  router.get('/v1/runs', async (req, res) => {
    await auth.viewer(req);
    res.json({ runs: await runSummaries(store) });
  });

  // Not for clients: it shows who the others are, and what was measured at their sites.
  router.get('/v1/runs/:run', async (req, res) => {
    await auth.viewer(req);
    const run = await runOf(parts, runId(req));
    res.json(await runDetail(store, run, pageOf(req), presence, engine.now(run.id)));
  });

  router.post('/v1/runs/:run/pause', async (req, res) => {
    const { name: by } = await auth.operator(req);
    const run = await engine.pauseRun(runId(req), 'paused by the operator', by);
    res.json(await runSummary(store, run));
  });

  router.post('/v1/runs/:run/resume', async (req, res) => {
    const { name: by } = await auth.operator(req);
    const run = await engine.resumeRun(runId(req), 'resumed by the operator', by);
    res.json(await runSummary(store, run));
  });

  router.post('/v1/runs/:run/stop', async (req, res) => {
    const { name: by } = await auth.operator(req);
    const run = await engine.stopRun(runId(req), 'stopped by the operator', by);
    res.json(await runSummary(store, run));
  });

  router.get('/v1/runs/:run/rounds/:round', async (req, res) => {
    await auth.viewer(req);
    const run = await runOf(parts, runId(req));
    const record = await roundOf(store, run, req);
    const { number, attempt } = record.round;
    res.json(roundDetail(record, await store.assignments(run.id, number, attempt)));
  });
}

function readerRoutes(router: Router, parts: HttpParts): void {
  const { engine, auth } = parts;
  router.get('/v1/me', async (req, res) => {
    const { runId, id, role } = await auth.client(req);
    const answer: Identity = { runId, clientId: id, role };
    res.json(answer);
  });

  router.get('/v1/runs/:run/plan', async (req, res) => {
    const client = await auth.client(req);
    if (client.runId === runId(req)) res.json(await engine.plan(client));
    else throw new TributaryError('forbidden', 'this client belongs to another run');
  });

  router.get('/v1/runs/:run/task', async (req, res) => {
    await auth.reader(req, runId(req));
    res.json((await runOf(parts, runId(req))).spec.task);
  });
}

export function runId(req: Request): string {
  return idParam(req, 'run', 'run_not_found');
}

/** The newest attempt at a round, or the one that `?attempt=` names. */
async function roundOf(store: Store, run: Run, req: Request): Promise<ListedRound> {
  const number = numberParam(req.params.round, 'round');
  const asked = req.query.attempt;
  const attempt = asked === undefined ? undefined : numberParam(asked, 'attempt');
  const found = await store.round(run.id, number, attempt);
  if (found) return found;
  const which = attempt === undefined ? `round ${number}` : `attempt ${attempt} at round ${number}`;
  throw new TributaryError('not_found', `run "${run.id}" has no ${which}`);
}
