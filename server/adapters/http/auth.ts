/** Who is calling: the operator, a client, or nobody. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TributaryError } from '../../../protocol/errors.js';
import type { Client } from '../../core/ports.js';
import type { Engine } from '../../engine/engine.js';

export type Caller =
  { readonly kind: 'operator' } | { readonly kind: 'client'; readonly client: Client };

/** Gives access by the bearer token of a request. Every method throws `unauthorized` without one. */
export interface Auth {
  caller(req: IncomingMessage): Promise<Caller>;
  /** @throws TributaryError `forbidden` for a client's token. */
  operator(req: IncomingMessage): Promise<void>;
  /** @throws TributaryError `forbidden` for the operator's token. */
  client(req: IncomingMessage): Promise<Client>;
  /** The operator, or a client of this run. @throws TributaryError `forbidden` for any other. */
  reader(req: IncomingMessage, runId: string): Promise<Caller>;
}

export function bearerAuth(
  engine: Pick<Engine, 'authenticate'>,
  isOperator: (token: string) => boolean,
): Auth {
  const caller = async (req: IncomingMessage): Promise<Caller> => {
    const token = bearerToken(req);
    if (isOperator(token)) return { kind: 'operator' };
    const client = await engine.authenticate(token);
    if (!client) throw new TributaryError('unauthorized', 'the token is not known');
    return { kind: 'client', client };
  };
  return {
    caller,
    operator: async (req) => {
      if ((await caller(req)).kind === 'operator') return;
      throw new TributaryError('forbidden', 'only the operator token may do this');
    },
    client: async (req) => {
      const who = await caller(req);
      if (who.kind === 'client') return who.client;
      throw new TributaryError('forbidden', "only a client's token may do this");
    },
    reader: async (req, runId) => {
      const who = await caller(req);
      if (who.kind === 'operator' || who.client.runId === runId) return who;
      throw new TributaryError('forbidden', 'this client belongs to another run');
    },
  };
}

/** Compares with the operator's token in a time that does not depend on where they differ. */
export function operatorCheck(operatorToken: string): (token: string) => boolean {
  const digest = (token: string): Buffer => createHash('sha256').update(token).digest();
  const expected = digest(operatorToken);
  return (token) => timingSafeEqual(digest(token), expected);
}

function bearerToken(req: IncomingMessage): string {
  const header = req.headers.authorization;
  if (header === undefined) throw new TributaryError('unauthorized', 'no token was sent');
  const token = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(header)?.[1];
  if (token) return token;
  throw new TributaryError('unauthorized', 'authorization: not of the form "Bearer TOKEN"');
}
