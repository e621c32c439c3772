/**
 * Which web pages may talk to the coordinator. Tokens travel in a header or in the handshake, never
 * in cookies, so this is a second line of defence; CORS and Socket.IO follow the same answer.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { TributaryError } from '../../protocol/errors.js';

/** As much of a request as the policy looks at. */
export interface Request {
  readonly headers: IncomingHttpHeaders;
}

export interface OriginPolicy {
  /** Origin of the public URL; null where none was given. */
  readonly own: string | null;
  /** True where pages of other sites are allowed at all. */
  readonly crossOrigin: boolean;
  allows(req: Request): boolean;
}

export interface OriginOptions {
  readonly allowed: readonly string[] | '*';
  /** Where pages of the coordinator itself are reached, if a proxy hides it. */
  readonly publicUrl: string | null;
}

/** Requests without an origin come from programs, not from pages, and are left to the tokens. */
export function originPolicy({ allowed, publicUrl }: OriginOptions): OriginPolicy {
  const own = publicUrl === null ? null : new URL(publicUrl).origin;
  return {
    own,
    crossOrigin: allowed === '*' || allowed.length > 0,
    allows: (req) => {
      const { origin, host } = req.headers;
      if (origin === undefined || allowed === '*') return true;
      return allowed.includes(origin) || origin === own || hostOf(origin) === host;
    },
  };
}

export function originRefused(req: Request): TributaryError {
  const origin = String(req.headers.origin).slice(0, 200);
  return new TributaryError(
    'origin_refused',
    `pages of ${origin} may not talk to this coordinator`,
  );
}

/** A page's host: equal to the Host header where the page is the coordinator's own. */
function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
