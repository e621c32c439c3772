/** Clients of a run: enrolled, approved, revoked and given new tokens by operators; or by themselves. */
import type { Request, Router } from 'express';
import { parse } from '../../../protocol/errors.js';
import type { Enrolled, SiteInfo } from '../../../protocol/http.js';
import { enrolment, joining, rotation } from '../../../protocol/http.js';
import type { EnrolledClient } from '../../core/records.js';
import { runOf } from '../../engine/known-runs.js';
import type { Ticket } from '../../engine/membership.js';
import { readJson } from './body.js';
import { readCommand } from './command.js';
import { idParam } from './ids.js';
import type { HttpParts } from './parts.js';
import { runId } from './runs.js';
import { isoTime, isoTimeOrNull } from './views.js';

const MAX_BODY_BYTES = 64 * 1024;

export function clientRoutes(router: Router, parts: HttpParts): void {
  const { engine, store, auth, presence, strangers, limits } = parts;
  const shown = (client: EnrolledClient): SiteInfo => {
    const { id, role, state, enrolledAt, tokenExpiresAt } = client;
    return {
      ...{ id, role, state },
      present: presence.status(client.runId, id) !== null,
      enrolledAt: isoTime(enrolledAt),
      tokenExpiresAt: isoTimeOrNull(tokenExpiresAt),
    };
  };

  router.get('/v1/runs/:run/clients', async (req, res) => {
    await auth.viewer(req);
    const { id } = await runOf(parts, runId(req));
    res.json({ clients: (await store.clients(id)).map(shown) });
  });

  router.post('/v1/runs/:run/clients', async (req, res) => {
    const { by, body } = await readCommand(req, 'operator', MAX_BODY_BYTES, parts);
    const { name, role, expiresInMs } = parse(enrolment, body, 'enrolment');
    res
      .status(201)
      .json(handedOut(await engine.enrol(runId(req), name, role, { expiresInMs, by })));
  });

  router.post('/v1/runs/:run/clients/:client/approve', async (req, res) => {
    const { name: by } = await auth.operator(req);
    res.json(shown(await engine.approve(runId(req), clientId(req), by)));
  });

  router.post('/v1/runs/:run/clients/:client/revoke', async (req, res) => {
    const { name: by } = await auth.operator(req);
    res.json(shown(await engine.revoke(runId(req), clientId(req), by)));
  });

  router.post('/v1/runs/:run/clients/:client/rotate', async (req, res) => {
    const { by, body } = await readCommand(req, 'operator', MAX_BODY_BYTES, parts);
    const { expiresInMs } = parse(rotation, body, 'rotation');
    res.json(handedOut(await engine.rotate(runId(req), clientId(req), { expiresInMs, by })));
  });

  // Nobody is asked for a token here, so addresses are counted instead.
  router.post('/v1/runs/:run/join', async (req, res) => {
    strangers.call(req);
    const body = await readJson(req, MAX_BODY_BYTES, limits.body);
    const { name, key } = parse(joining, body, 'joining');
    res.status(201).json(handedOut(await engine.enrolItself(runId(req), name, key)));
  });
}

function clientId(req: Request): string {
  return idParam(req, 'client', 'not_found');
}

function handedOut({ client, token }: Ticket): Enrolled {
  const { id: clientId, role, state, tokenExpiresAt } = client;
  return { clientId, role, token, state, tokenExpiresAt: isoTimeOrNull(tokenExpiresAt) };
}
