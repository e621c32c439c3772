/** Where the coordinator is. It may stand behind a proxy, under a prefix that it does not know of. */
import { TributaryError } from '../protocol/errors.js';

export interface Address {
  /** Ends in a slash. */
  readonly base: URL;
  /** For Socket.IO, which takes origin and path apart. */
  readonly socketPath: string;
}

/**
 * @param url `https://host`, or with a path prefix `https://host/fl/`; in a page also relative to it.
 * @throws TributaryError `bad_request` for anything that is no http(s) address.
 */
export function parseAddress(url: string): Address {
  const base = parseUrl(url);
  if (base?.protocol !== 'http:' && base?.protocol !== 'https:')
    throw new TributaryError(
      'bad_request',
      `url: "${url}" does not begin with http:// or https://`,
    );
  if (base.username !== '' || base.password !== '')
    throw new TributaryError('bad_request', 'url: give the credentials as the token instead');
  base.search = '';
  base.hash = '';
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return { base, socketPath: `${base.pathname}socket.io` };
}

function parseUrl(url: string): URL | undefined {
  const page = 'location' in globalThis ? globalThis.location.href : undefined;
  return URL.canParse(url, page) ? new URL(url, page) : undefined;
}

/**
 * A path that the coordinator named (`/v1/runs/…`), under the prefix that the client came by.
 *
 * @throws TributaryError `bad_request` where it leads elsewhere: the token must not go there.
 */
export function resolvePath({ base }: Address, path: string): URL {
  const relative = path.replace(/^\/+/, '');
  const url = URL.canParse(relative, base) ? new URL(relative, base) : undefined;
  if (url?.origin !== base.origin || !url.pathname.startsWith(base.pathname))
    throw new TributaryError('bad_request', `the path "${path}" leads away from ${base.href}`);
  return url;
}
