/** Certificates of sites: a second proof beside the token, for the one client that they name. */
import { TributaryError } from '../../protocol/errors.js';
import type { Client } from '../core/records.js';
import type { Peer } from './peers.js';
import type { ClientCerts } from './tls.js';

/**
 * Holds the certificate of a connection against the client whose token it brought. Operators are not
 * asked for one: their tokens are checked alone.
 *
 * @throws TributaryError `forbidden` where one is missing that must be there, was signed by somebody
 * else, or names another client.
 */
export function checkCertificate(
  { isTls, certificate }: Pick<Peer, 'isTls' | 'certificate'>,
  { id }: Pick<Client, 'id'>,
  mode: ClientCerts,
): void {
  // Behind a proxy that ends TLS there is nothing to see: the proxy would have to check.
  if (mode === 'off' || !isTls) return;
  if (certificate === null) {
    if (mode === 'optional') return;
    throw refused('sites must show a client certificate here: join with --cert and --key');
  }
  const { names, problem } = certificate;
  if (problem !== null) throw refused(`the client certificate is not accepted: ${problem}`);
  if (names.includes(id)) return;
  throw refused(`the client certificate is for ${names.join(', ') || 'nobody'}, not for "${id}"`);
}

function refused(message: string): TributaryError {
  return new TributaryError('forbidden', message);
}
