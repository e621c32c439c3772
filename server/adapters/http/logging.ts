/** One log line a request, under an id that the peer is told and may have brought along. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';

/** Passwords and tokens in what is logged. */
export const redactedPaths: readonly string[] = [
  'req.headers.authorization',
  'req.headers.cookie',
  'headers.authorization',
  'authorization',
  'token',
  '*.token',
  'operatorToken',
];

const ASSIGNMENT = /^\/v1\/assignments\/([\w.-]{1,128})\//;

export function requestLog(log: Logger): RequestHandler {
  return pinoHttp({
    logger: log,
    genReqId: (req, res) => {
      const id = broughtId(req) ?? randomUUID();
      res.setHeader('x-request-id', id);
      return id;
    },
    // The id that goes with an update from its client to the ledger.
    customProps: (req) => {
      const assignment = ASSIGNMENT.exec(req.url)?.[1];
      return assignment === undefined ? {} : { assignment };
    },
    // Nothing else of the headers is worth a line, and what is not logged cannot leak.
    serializers: { req: describeRequest, res: describeResponse },
    customLogLevel: (_req, res, error) => {
      if (error !== undefined || res.statusCode >= 500) return 'warn';
      return res.statusCode >= 400 ? 'info' : 'debug';
    },
  });
}

/** The id of a request, for the peer to quote and the operator to search for. */
export function requestId(req: IncomingMessage): string {
  return typeof req.id === 'string' ? req.id : '-';
}

/** Ids of a proxy are kept, so that its log and ours can be joined; odd ones could forge log lines. */
function broughtId(req: IncomingMessage): string | undefined {
  const id = req.headers['x-request-id'];
  return typeof id === 'string' && /^[\w.-]{1,64}$/.test(id) ? id : undefined;
}

interface LoggedRequest {
  readonly id?: unknown;
  readonly method?: string;
  readonly url?: string;
  /** Express's request; `ip` looks behind the proxies that are trusted. */
  readonly raw?: { readonly ip?: string | undefined };
}

function describeRequest({ id, method, url, raw }: LoggedRequest) {
  return { id, method, url: url && withoutQuery(url), from: raw?.ip };
}

/** Some put their token after the question mark, where nobody asked for it. */
function withoutQuery(url: string): string {
  const end = url.indexOf('?');
  return end < 0 ? url.slice(0, 500) : `${url.slice(0, Math.min(end, 500))}?…`;
}

function describeResponse({ statusCode }: { readonly statusCode?: number }) {
  return { status: statusCode };
}
