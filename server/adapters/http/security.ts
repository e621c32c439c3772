/** Headers that keep browsers from doing what nobody meant: CSP, CORS, and what helmet knows of. */
import cors from 'cors';
import type { RequestHandler } from 'express';
import helmet from 'helmet';
import { REQUEST_ID_HEADER, SHA256_HEADER, VERSION_HEADER } from '../../../protocol/http.js';
import type { OriginPolicy } from '../origins.js';
import { originRefused } from '../origins.js';

/**
 * For pages that the coordinator serves itself: they load /sdk/tributary.js, train in a worker that
 * is made from a blob, compile WebAssembly that is embedded as data, and connect to their own host.
 */
function contentSecurityPolicy(origins: OriginPolicy) {
  const directives = {
    defaultSrc: ["'self'"],
    scriptSrc: ["'self'", "'wasm-unsafe-eval'"],
    workerSrc: ["'self'", 'blob:'],
    connectSrc: ["'self'", ...ownSockets(origins), 'data:', 'blob:'],
    imgSrc: ["'self'", 'data:', 'blob:'],
    styleSrc: ["'self'", "'unsafe-inline'"],
    objectSrc: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'self'"],
    frameAncestors: ["'self'"],
  };
  return { useDefaults: false, directives };
}

/** `'self'` covers ws and wss of the same host in browsers since 2022; for older ones it is named. */
function ownSockets({ own }: OriginPolicy): string[] {
  return own === null ? [] : [own.replace(/^http/, 'ws')];
}

export function securityHeaders(origins: OriginPolicy): RequestHandler {
  return helmet({
    contentSecurityPolicy: contentSecurityPolicy(origins),
    // On a page with COOP and COEP the threaded build of TF.js's wasm backend hangs.
    crossOriginOpenerPolicy: false,
    crossOriginEmbedderPolicy: false,
    crossOriginResourcePolicy: { policy: origins.crossOrigin ? 'cross-origin' : 'same-origin' },
    // Whether a host speaks TLS only is for the proxy that terminates it to say.
    strictTransportSecurity: false,
  });
}

/** Refuses pages of other sites, and answers the preflight requests of those that are allowed. */
export function crossOrigin(origins: OriginPolicy): RequestHandler[] {
  const gate: RequestHandler = (req, _res, next) => {
    next(origins.allows(req) ? undefined : originRefused(req));
  };
  const headers = cors({
    // Reflected rather than `*`, so that one rule, the gate's, decides.
    origin: origins.crossOrigin,
    methods: ['GET', 'HEAD', 'PUT', 'POST'],
    allowedHeaders: ['authorization', 'content-type', SHA256_HEADER, REQUEST_ID_HEADER],
    exposedHeaders: ['etag', 'retry-after', REQUEST_ID_HEADER, VERSION_HEADER],
    maxAge: 600,
  });
  return [gate, headers];
}
