/** How failures on a connection are told: to its client, and to the log. */
import type { ErrorBody } from '../../../protocol/errors.js';
import { TributaryError } from '../../../protocol/errors.js';
import type { Log } from '../../engine/engine.js';
import { withRetryAfter } from '../pace.js';
import type { SocketData } from './sessions.js';

/** A connection; while it is being made, it is nobody's yet. */
interface Connecting {
  readonly id: string;
  readonly data: Partial<SocketData>;
}

/** A failure of ours is told by the number of the connection, by which it is found in the log. */
export function errorBodyOf(error: unknown, { id: socket, data }: Connecting, log: Log): ErrorBody {
  if (error instanceof TributaryError) return withRetryAfter(error).toBody();
  const { runId, id: client } = data.client ?? {};
  log.error({ err: error, runId, client, socket }, 'unexpected failure on a connection');
  return new TributaryError('internal', `unexpected failure on connection ${socket}`).toBody();
}
