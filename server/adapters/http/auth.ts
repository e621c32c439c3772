/** Who is calling: an operator, a client, or nobody. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TributaryError } from '../../../protocol/errors.js';
import type { OperatorRole } from '../../../protocol/http.js';
import { operatorRole } from '../../../protocol/http.js';
import type { Client, Operator } from '../../core/records.js';
import { ROOT } from '../../engine/membership.js';
import { isOperatorToken } from '../../engine/tokens.js';
import type { Authenticator } from '../identity.js';

/** An operator as the ledger names it. */
export type Actor = Pick<Operator, 'name' | 'role'>;

export type Caller =
  | { readonly kind: 'operator'; readonly operator: Actor }
  | { readonly kind: 'client'; readonly client: Client };

/**
 * Gives access by the bearer token of a request. Every method throws `unauthorized` without one,
 * `token_expired`, `revoked` or `not_approved` for one that is good no longer, or not yet, and
 * `forbidden`, naming the role that is needed, for one of somebody else.
 */
export interface Auth {
  caller(req: IncomingMessage): Promise<Caller>;
  /** May read what operators see; a model says too much of the data for that: `operator`. */
  viewer(req: IncomingMessage): Promise<Actor>;
  /** May run as well. */
  operator(req: IncomingMessage): Promise<Actor>;
  /** May also say who operates. */
  admin(req: IncomingMessage): Promise<Actor>;
  client(req: IncomingMessage): Promise<Client>;
  /** A client of this run, or whoever may run it. */
  reader(req: IncomingMessage, runId: string): Promise<Caller>;
}

export interface AuthParts {
  readonly clients: Authenticator;
  /** Those beside the one of the configuration. */
  readonly operators: Authenticator<Actor>;
  /** Whether it is the configured token. */
  readonly isRoot: (token: string) => boolean;
}

export function bearerAuth({ clients, operators, isRoot }: AuthParts): Auth {
  const caller = async (req: IncomingMessage): Promise<Caller> => {
    const token = bearerToken(req);
    if (isRoot(token)) return { kind: 'operator', operator: { name: ROOT, role: 'admin' } };
    if (isOperatorToken(token)) {
      return { kind: 'operator', operator: known(await operators.authenticate(token, req)) };
    }
    return { kind: 'client', client: known(await clients.authenticate(token, req)) };
  };
  const acting = (needed: OperatorRole) => async (req: IncomingMessage) =>
    actorOf(await caller(req), needed);
  return {
    caller,
    viewer: acting('viewer'),
    operator: acting('operator'),
    admin: acting('admin'),
    client: async (req) => {
      const who = await caller(req);
      if (who.kind === 'client') return who.client;
      throw new TributaryError('forbidden', "only a client's token may do this");
    },
    reader: async (req, runId) => {
      const who = await caller(req);
      if (who.kind === 'operator') actorOf(who, 'operator');
      else if (who.client.runId !== runId) {
        throw new TributaryError('forbidden', 'this client belongs to another run');
      }
      return who;
    },
  };
}

function known<T>(found: T | null): T {
  if (found) return found;
  throw new TributaryError('unauthorized', 'the token is not known');
}

/** @throws TributaryError `forbidden`. */
function actorOf(who: Caller, needed: OperatorRole): Actor {
  if (who.kind === 'client') {
    throw new TributaryError('forbidden', `only an operator may do this (role "${needed}")`);
  }
  // Each role may do all that those before it may.
  const { options: ranks } = operatorRole;
  const { name, role } = who.operator;
  if (ranks.indexOf(role) >= ranks.indexOf(needed)) return who.operator;
  const message = `this takes the role "${needed}", and operator "${name}" has "${role}"`;
  throw new TributaryError('forbidden', message);
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
