/** Sites as text: the list, one that was changed, and a token that is shown once. */
import type { Enrolled, SiteInfo } from '../../../protocol/http.js';
import { table } from '../output.js';

export function ticketShown(
  { clientId, role, token, state, tokenExpiresAt }: Enrolled,
  run: string,
): string {
  return [
    `${clientId} (${role})  ${token}`,
    'The token is shown only this once.',
    ...(tokenExpiresAt === null ? [] : [`It expires ${minuteOf(tokenExpiresAt)}.`]),
    ...(state === 'pending'
      ? [`The site waits for approval: tributary site approve ${run} ${clientId}`]
      : []),
  ].join('\n');
}

export function sitesListed(sites: readonly SiteInfo[]): string {
  if (sites.length === 0) return 'no sites yet: add one with "tributary site add RUN NAME"';
  const rows = sites.map(({ id, role, state, present, tokenExpiresAt }) => [
    id,
    role,
    state,
    present ? 'yes' : 'no',
    tokenExpiresAt === null ? 'never' : minuteOf(tokenExpiresAt),
  ]);
  return table(['site', 'role', 'state', 'present', 'token expires'], rows);
}

export function siteShown({ id, role, state }: SiteInfo): string {
  return `${id} (${role}) is ${state}`;
}

export function minuteOf(iso: string): string {
  return `${iso.slice(0, 16).replace('T', ' ')} UTC`;
}
