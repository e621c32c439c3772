/** Requests counted as they end, and the metrics as Prometheus reads them. */
import type { Response, RequestHandler, Router } from 'express';
import type { ErrorCode } from '../../../protocol/errors.js';
import type { Metrics } from '../metrics.js';
import type { HttpParts } from './parts.js';

/** With what a request was refused, until it is counted. */
const refusals = new WeakMap<Response, ErrorCode>();

export function noteRefusal(res: Response, code: ErrorCode): void {
  refusals.set(res, code);
}

/** What no route took: pages, and addresses that are none. */
const NO_ROUTE = 'other';
/** The peer left before the end of the answer; as in nginx' logs. */
const PEER_LEFT = 499;

export function countRequests(metrics: Pick<Metrics, 'answered' | 'refused'>): RequestHandler {
  return (req, res, next) => {
    const began = performance.now();
    // Comes once, after the last byte or where the connection broke before.
    res.once('close', () => {
      const seconds = (performance.now() - began) / 1000;
      const status = res.writableFinished ? res.statusCode : PEER_LEFT;
      metrics.answered({ method: req.method, route: patternOf(req.route), status, seconds });
      const code = refusals.get(res);
      if (code) metrics.refused('http', code);
    });
    next();
  };
}

/** Express notes the route that took a request, with its address as it was declared. */
function patternOf(route: unknown): string {
  const path: unknown = typeof route === 'object' && route && 'path' in route ? route.path : null;
  return typeof path === 'string' ? path : NO_ROUTE;
}

/** Measures an upload that arrives whole. */
export async function timed<T extends { readonly bytes: number }>(
  metrics: Pick<Metrics, 'uploaded'>,
  receive: () => Promise<T>,
): Promise<T> {
  const began = performance.now();
  const received = await receive();
  metrics.uploaded(received.bytes, (performance.now() - began) / 1000);
  return received;
}

export function metricsRoutes(router: Router, parts: HttpParts): void {
  const { auth, metrics, metricsFor } = parts;
  router.get('/metrics', async (req, res) => {
    if (metricsFor === 'operators') await auth.viewer(req);
    const { contentType, body } = await metrics.text();
    res.setHeader('cache-control', 'no-store');
    res.type(contentType).send(body);
  });
}
