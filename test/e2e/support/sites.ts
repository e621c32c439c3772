/** Calls that operators make about sites, and what they are answered. */
import type { Enrolled, SiteInfo } from '../../../protocol/http.js';
import { clientList, enrolled, eventList, siteInfo } from '../../../protocol/http.js';
import type { Coordinator } from '../../../server/app.js';
import { OPERATOR, postJson, request } from './coordinator.js';

export interface Sites {
  /** Anybody's call: enrols itself. */
  join(body?: object): Promise<Response>;
  joined(name?: string): Promise<Enrolled>;
  approve(name: string): Promise<SiteInfo>;
  revoke(name: string): Promise<SiteInfo>;
  rotate(name: string, expiresInMs?: number): Promise<Enrolled>;
  /** A call that is expected to fail. */
  tried(name: string, verb: 'approve' | 'revoke' | 'rotate'): Promise<Response>;
  list(): Promise<SiteInfo[]>;
  /** Types of the ledger's events about clients, with what they say. */
  ledger(): Promise<[string, unknown][]>;
}

export function sitesOf(coordinator: Coordinator, runId: string): Sites {
  const path = `/v1/runs/${runId}`;
  const act = (name: string, verb: string, body: object = {}): Promise<Response> =>
    postJson(coordinator, `${path}/clients/${name}/${verb}`, OPERATOR, body);
  return {
    join: (body = {}) => postJson(coordinator, `${path}/join`, null, body),
    joined: async (name) => {
      const body = name === undefined ? {} : { name };
      return enrolled.parse(await json(await postJson(coordinator, `${path}/join`, null, body)));
    },
    approve: async (name) => siteInfo.parse(await json(await act(name, 'approve'))),
    revoke: async (name) => siteInfo.parse(await json(await act(name, 'revoke'))),
    rotate: async (name, expiresInMs) =>
      enrolled.parse(await json(await act(name, 'rotate', { expiresInMs }))),
    tried: (name, verb) => act(name, verb),
    list: async () => {
      const answer = await request(coordinator, `${path}/clients`, OPERATOR);
      return clientList.parse(await json(answer)).clients;
    },
    ledger: async () => {
      const answer = await request(coordinator, `${path}/events`, OPERATOR);
      const { events } = eventList.parse(await json(answer));
      return events
        .filter(({ type }) => type.startsWith('client-'))
        .map(({ type, body }) => [type, body]);
    },
  };
}

async function json(response: Response): Promise<unknown> {
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
  return response.json();
}
