/**
 * The REST side as a table: every call, who may make it, what goes in, what comes out, and with which
 * errors. The OpenAPI document is made from it (docs/openapi.json, `GET /openapi.json`), and a test
 * holds it against the routes that the coordinator has.
 */
import { openRoutes } from './api/open.js';
import { clientRoutes } from './api/clients.js';
import { operatorRoutes } from './api/operators.js';
import { runRoutes } from './api/runs.js';
import type { ApiRoute } from './api/route.js';

export type { ApiRoute } from './api/route.js';
export { answerSchemas, bodySchemas } from './api/schemas.js';

export const apiRoutes: readonly ApiRoute[] = [
  ...openRoutes,
  ...runRoutes,
  ...operatorRoutes,
  ...clientRoutes,
];
