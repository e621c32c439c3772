/** The coordinator's HTTP side as one Express application. */
import express from 'express';
import type { Express, RequestHandler } from 'express';
import { TributaryError } from '../../../protocol/errors.js';
import { assignmentRoutes } from './assignments.js';
import { blobRoutes } from './blobs.js';
import { checkpointRoutes } from './checkpoints.js';
import { clientRoutes } from './clients.js';
import { answerErrors, unknownRoute } from './errors.js';
import { healthRoutes } from './health.js';
import { ledgerRoutes } from './ledger.js';
import { requestLog } from './logging.js';
import { countRequests, metricsRoutes } from './metrics.js';
import { openApiRoutes } from './openapi.js';
import { operatorRoutes } from './operators.js';
import type { HttpParts } from './parts.js';
import { runRoutes } from './runs.js';
import { crossOrigin, securityHeaders } from './security.js';

export function createHttpApp(parts: HttpParts): Express {
  const { origins, trustProxy, log, draining, sdkDir, pagesDir } = parts;
  const app = express();
  app.disable('etag');
  app.set('query parser', 'simple');
  app.set('trust proxy', typeof trustProxy === 'number' ? trustProxy : [...trustProxy]);
  app.use(
    countRequests(parts.metrics),
    requestLog(log),
    securityHeaders(origins),
    ...crossOrigin(origins),
  );
  app.use('/v1', notWhile(draining), neverCached);
  for (const routes of [
    healthRoutes,
    metricsRoutes,
    openApiRoutes,
    runRoutes,
    clientRoutes,
    operatorRoutes,
    ledgerRoutes,
    checkpointRoutes,
    assignmentRoutes,
    blobRoutes,
  ]) {
    routes(app, parts);
  }
  if (sdkDir !== null) app.use('/sdk', staticFiles(sdkDir));
  if (pagesDir !== null) app.use(staticFiles(pagesDir));
  app.use(unknownRoute, answerErrors);
  return app;
}

/** Answers hold what only the bearer may see; what may be kept says so itself. */
const neverCached: RequestHandler = (_req, res, next) => {
  res.setHeader('cache-control', 'no-store');
  next();
};

/** Requests under way are finished when the coordinator stops; new ones go to whoever comes next. */
function notWhile(draining: () => boolean): RequestHandler {
  return (_req, res, next) => {
    if (!draining()) {
      next();
      return;
    }
    res.setHeader('connection', 'close');
    next(new TributaryError('shutting_down', 'the coordinator is stopping'));
  };
}

function staticFiles(dir: string): RequestHandler {
  return express.static(dir, { etag: true, cacheControl: true, maxAge: 0, redirect: false });
}
