/** The calls that say who takes part and who operates. */
import type { z } from 'zod';
import { TributaryError } from '../../protocol/errors.js';
import type {
  Enrolled,
  Enrolment,
  OperatorInfo,
  OperatorRole,
  OperatorToken,
  SiteInfo,
} from '../../protocol/http.js';
import {
  clientList,
  enrolled,
  operatorInfo,
  operatorList,
  operatorToken,
  siteInfo,
} from '../../protocol/http.js';

export interface NewOperator {
  readonly name: string;
  readonly role: OperatorRole;
  readonly expiresInMs?: number | undefined;
}

/** Sites are the clients of a run. Tokens are in the answer to the call that made them, and nowhere else. */
export interface OperatingApi {
  sites(run: string): Promise<SiteInfo[]>;
  addSite(run: string, site: Enrolment): Promise<Enrolled>;
  approveSite(run: string, name: string): Promise<SiteInfo>;
  revokeSite(run: string, name: string): Promise<SiteInfo>;
  rotateSite(run: string, name: string, expiresInMs?: number): Promise<Enrolled>;
  operators(): Promise<OperatorInfo[]>;
  addOperator(operator: NewOperator): Promise<OperatorToken>;
  revokeOperator(name: string): Promise<OperatorInfo>;
  rotateOperator(name: string, expiresInMs?: number): Promise<OperatorToken>;
}

/** One request: what the answer must be, how and where, and its JSON body. */
export type Call = <T>(
  schema: z.ZodType<T>,
  method: string,
  path: string,
  body?: object,
) => Promise<T>;

export function operatingCalls(call: Call): OperatingApi {
  const site = (run: string, name: string, verb: string): string =>
    `${sitesOf(run)}/${encodeURIComponent(name)}/${verb}`;
  const operator = (name: string, verb: string): string =>
    `/operators/${encodeURIComponent(name)}/${verb}`;
  return {
    sites: async (run) => (await call(clientList, 'GET', sitesOf(run))).clients,
    addSite: (run, wanted) => call(enrolled, 'POST', sitesOf(run), wanted),
    approveSite: (run, name) => call(siteInfo, 'POST', site(run, name, 'approve')),
    revokeSite: (run, name) => call(siteInfo, 'POST', site(run, name, 'revoke')),
    rotateSite: (run, name, expiresInMs) =>
      call(enrolled, 'POST', site(run, name, 'rotate'), { expiresInMs }),
    operators: async () => (await call(operatorList, 'GET', '/operators')).operators,
    addOperator: (wanted) => call(operatorToken, 'POST', '/operators', wanted),
    revokeOperator: (name) => call(operatorInfo, 'POST', operator(name, 'revoke')),
    rotateOperator: (name, expiresInMs) =>
      call(operatorToken, 'POST', operator(name, 'rotate'), { expiresInMs }),
  };
}

/**
 * Where a run is, behind `/v1`.
 * @throws TributaryError `run_not_found` for no id, which would lead to the list of all runs.
 */
export function pathOf(run: string): string {
  if (run === '') throw new TributaryError('run_not_found', 'the id of the run is empty');
  return `/runs/${encodeURIComponent(run)}`;
}

function sitesOf(run: string): string {
  return `${pathOf(run)}/clients`;
}
