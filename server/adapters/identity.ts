/** Who is behind a token, seen from the connection that it came over. */
import type { Client } from '../core/records.js';
import { checkCertificate } from './client-certificate.js';
import type { Request } from './peers.js';
import { peerOf } from './peers.js';
import type { Strangers } from './strangers.js';
import type { ClientCerts } from './tls.js';

/** Looks a token up; null where it belongs to nobody. An engine does that without looking at `from`. */
export interface Authenticator<T = Client> {
  authenticate(token: string, from: Request): Promise<T | null>;
}

/** Counts tokens that belong to nobody against the address that they come from. */
export function guarded<T>(inner: Authenticator<T>, strangers: Strangers): Authenticator<T> {
  return {
    authenticate: (token, from) =>
      strangers.lookUp(from, token, () => inner.authenticate(token, from)),
  };
}

/** Clients, with the certificate of their connection where one is shown or asked for. */
export function certified<T extends Client>(
  inner: Authenticator<T>,
  mode: ClientCerts,
): Authenticator<T> {
  return {
    authenticate: async (token, from) => {
      const client = await inner.authenticate(token, from);
      if (client) checkCertificate(peerOf(from), client, mode);
      return client;
    },
  };
}
