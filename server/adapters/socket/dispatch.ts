/**
 * From whatever a peer emitted to a handler and back to an acknowledgement. Nothing that a peer
 * sends gets past here unparsed, and nothing that a handler throws gets past here at all.
 */
import type { z } from 'zod';
import { TributaryError, parse } from '../../../protocol/errors.js';
import type { ErrorCode } from '../../../protocol/errors.js';
import type { Ack } from '../../../protocol/messages.js';
import type { Log } from '../../engine/engine.js';
import { checkPlain } from '../plain-json.js';
import { errorBodyOf } from './errors.js';
import type { ClientSocket } from './sessions.js';

/** Answers one kind of message. */
export type Handler = (raw: unknown) => Promise<unknown>;

export function handler<T>(
  schema: z.ZodType<T>,
  what: string,
  take: (message: T) => Promise<unknown>,
): readonly [string, Handler] {
  return [
    what,
    async (raw) => {
      checkPlain(raw, what);
      return take(parse(schema, raw, what));
    },
  ];
}

export interface Dispatch {
  readonly handlers: ReadonlyMap<string, Handler>;
  /** Throws where the message is one too many. */
  readonly allow: () => void;
  /** Counts messages that are refused. */
  readonly refused: (code: ErrorCode) => void;
  readonly log: Log;
}

/**
 * Answers one message. Never throws and never rejects: an exception in a listener of Socket.IO would
 * end the process.
 */
export async function dispatch(
  { handlers, allow, refused, log }: Dispatch,
  socket: ClientSocket,
  [event, ...args]: readonly unknown[],
): Promise<void> {
  const last = args.at(-1);
  const acknowledge = typeof last === 'function' ? (args.pop() as (answer: unknown) => void) : null;
  let answer: Ack<unknown>;
  try {
    allow();
    answer = { ok: true, value: await handlerOf(handlers, event, args)(args[0]) };
  } catch (error) {
    const body = errorBodyOf(error, socket, log);
    answer = { ok: false, error: body };
    refused(body.code);
  }
  acknowledge?.(answer);
}

function handlerOf(
  handlers: ReadonlyMap<string, Handler>,
  event: unknown,
  args: readonly unknown[],
): Handler {
  const known = typeof event === 'string' ? handlers.get(event) : undefined;
  if (!known) {
    const names = [...handlers.keys()].join(', ');
    throw new TributaryError('bad_request', `unknown message; there are ${names}`);
  }
  if (args.length !== 1)
    throw new TributaryError('bad_request', `${String(event)}: send one object`);
  return known;
}
