/** What anybody may ask: whether the coordinator lives, can work, and which rules it knows. */
import type { Router } from 'express';
import { TributaryError } from '../../../protocol/errors.js';
import { catalogue } from '../../core/catalogue.js';
import { readinessCheck } from '../readiness.js';
import type { HttpParts } from './parts.js';

export function healthRoutes(router: Router, parts: HttpParts): void {
  const { version, draining, refusal } = parts;
  const check = readinessCheck(parts);
  const healthy = { status: 'ok', version };

  router.get('/healthz', (_req, res) => {
    res.json(healthy);
  });

  /** For load balancers: not ready means that the next request goes elsewhere. */
  router.get('/readyz', async (_req, res) => {
    if (draining()) throw new TributaryError('shutting_down', 'the coordinator is stopping');
    const standby = refusal();
    if (standby) throw standby;
    res.json({ ...healthy, checks: await check() });
  });

  router.get('/v1/rules', (_req, res) => {
    res.json(catalogue());
  });
}
