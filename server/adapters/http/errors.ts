/** How failures are answered: always `{ error, receipt? }`, never a stack. */
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import type { ErrorBody } from '../../../protocol/errors.js';
import { TributaryError } from '../../../protocol/errors.js';
import type { Receipt } from '../../../protocol/update.js';
import { retryAfterSeconds, withRetryAfter } from '../pace.js';
import { drain } from './body.js';
import { requestId } from './logging.js';
import { noteRefusal } from './metrics.js';

/** How long an early answer waits for the peer to stop sending; less for one that was too slow. */
const LINGER_MS = 30_000;
const LINGER_IDLE_MS = 1_000;

/** Answers with an error. Safe at any time, also while the peer is still sending its body. */
export function sendError(
  req: Request,
  res: Response,
  failure: TributaryError,
  receipt?: Receipt,
): void {
  const error = withRetryAfter(failure);
  if (error.status === 401) res.setHeader('www-authenticate', 'Bearer realm="tributary"');
  if (error.retryAfterMs !== undefined) {
    res.setHeader('retry-after', retryAfterSeconds(error.retryAfterMs));
  }
  noteRefusal(res, error.code);
  res.setHeader('cache-control', 'no-store');
  res.status(error.status);
  const body = { error: error.toBody(), ...(receipt && { receipt }) };
  if (isStillSending(req)) sendBeforeBodyEnds(req, res, body);
  else res.json(body);
}

function isStillSending(req: Request): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': transfer } = req.headers;
  return !req.complete && (length !== '0' || transfer !== undefined);
}

/**
 * The whole answer goes out at once, but the response is ended, and with it the connection, only
 * when the peer has stopped sending: see {@link drain}.
 */
function sendBeforeBodyEnds(req: Request, res: Response, body: { error: ErrorBody }): void {
  const bytes = Buffer.from(JSON.stringify(body));
  const lingerMs = body.error.code === 'too_slow' ? LINGER_IDLE_MS : LINGER_MS;
  res.setHeader('connection', 'close');
  res.setHeader('content-type', 'application/json; charset=utf-8');
  res.setHeader('content-length', bytes.byteLength);
  res.write(bytes);
  void drain(req, lingerMs, LINGER_IDLE_MS).then(() => res.end());
}

/** Routes that nobody else took. */
export const unknownRoute: RequestHandler = (req) => {
  throw new TributaryError('not_found', `there is no ${req.method} ${req.path.slice(0, 200)}`);
};

/** The last handler: turns whatever was thrown into an answer and, where it is our fault, a log line. */
// eslint-disable-next-line @typescript-eslint/no-unused-vars -- Express tells error handlers from others by their four parameters
export const answerErrors: ErrorRequestHandler = (thrown: unknown, req, res, _next) => {
  if (res.headersSent || hasLeft(thrown)) {
    breakOff(req, res, thrown);
    return;
  }
  const error = toTributaryError(thrown, requestId(req));
  if (error.code === 'internal') req.log.error({ err: thrown }, 'unexpected failure');
  else if (error.status >= 500) req.log.warn({ err: thrown }, error.message);
  else req.log.debug({ code: error.code }, error.message);
  sendError(req, res, error);
};

/** In the middle of a body all that is left is to break off, which the peer sees as an error. */
function breakOff(req: Request, res: Response, thrown: unknown): void {
  if (hasLeft(thrown)) req.log.debug('the peer left before the end of the answer');
  else req.log.warn({ err: thrown }, 'an answer broke off');
  res.destroy();
}

/** The peer is gone, in the middle of an answer or before it began: a killed client, a closed tab. */
function hasLeft(thrown: unknown): boolean {
  return (
    thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_STREAM_PREMATURE_CLOSE'
  );
}

/** What a peer may see of an error. */
export function toTributaryError(thrown: unknown, requestId: string): TributaryError {
  if (thrown instanceof TributaryError) return thrown;
  const status = statusOf(thrown);
  if (status === 404) return new TributaryError('not_found', 'there is nothing at this address');
  if (status >= 400 && status < 500) {
    return new TributaryError('bad_request', 'the address or a header cannot be read');
  }
  const message = `unexpected failure; request ${requestId}`;
  return new TributaryError('internal', message, { requestId }, { cause: thrown });
}

/** Express and its middleware mark the errors that a request is to blame for with a status. */
function statusOf(thrown: unknown): number {
  const status = thrown instanceof Error && 'status' in thrown ? thrown.status : undefined;
  return typeof status === 'number' ? status : 500;
}
