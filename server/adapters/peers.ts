/**
 * Who is at the other end of a connection, noted when its request comes. A client that polls closes its
 * first connection before its token arrives on the second: then there is nobody left to look at.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { TLSSocket } from 'node:tls';

/** As much of a request as tells where it comes from. */
export interface Request {
  readonly headers: IncomingHttpHeaders;
  readonly socket: { readonly remoteAddress?: string | undefined };
}

/** A certificate that was shown in the TLS handshake. */
export interface ShownCertificate {
  /** CN and DNS names, exactly as they are written: client names are told apart by case. */
  readonly names: readonly string[];
  /** Why it is not accepted; null where one of the authorities has signed it. */
  readonly problem: string | null;
}

export interface Peer {
  /** Of the connection itself: a proxy's, where there is one. */
  readonly address: string;
  readonly isTls: boolean;
  readonly certificate: ShownCertificate | null;
}

const noted = new WeakMap<Request, Peer>();

export function notePeer(req: Request): void {
  noted.set(req, look(req));
}

export function peerOf(req: Request): Peer {
  return noted.get(req) ?? look(req);
}

function look({ socket }: Request): Peer {
  const isTls = socket instanceof TLSSocket;
  const certificate = isTls ? shownBy(socket) : null;
  return { address: socket.remoteAddress ?? '', isTls, certificate };
}

function shownBy(socket: TLSSocket): ShownCertificate | null {
  const shown = socket.getPeerX509Certificate();
  if (!shown) return null;
  const cn = /^CN=(.+)$/m.exec(shown.subject)?.[1];
  // Names with commas or quotes in them are quoted, and are no client's: splitting could forge one.
  const alternatives = shown.subjectAltName ?? '';
  const listed = alternatives.includes('"') ? [] : alternatives.split(', ');
  const dns = listed.flatMap((name) => (name.startsWith('DNS:') ? [name.slice(4)] : []));
  return {
    names: [...(cn === undefined ? [] : [cn]), ...dns],
    problem: socket.authorized ? null : String(socket.authorizationError),
  };
}
