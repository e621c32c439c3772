/** Enrolled clients in memory. */
import type { ClientChange, ClientCount, ClientStore, RoleBound } from '../../core/ports.js';
import type { EnrolledClient, NewEvent } from '../../core/records.js';
import { standingOf } from '../../core/standing.js';
import { sortedClients } from '../order.js';
import { conflict, nameTaken, noSuchRun, notSole } from '../refusals.js';
import {
  type ClientEntry,
  openAssignment,
  put,
  type RunEntry,
  type State,
  withEvents,
} from './state.js';

type Verbs = { [K in keyof ClientStore]: (...args: Parameters<ClientStore[K]>) => unknown };

/** The verbs as synchronous functions; the store makes promises of them. */
export function clientVerbs(state: State) {
  const clientsOf = (runId: string): EnrolledClient[] =>
    [...(state.runs.get(runId)?.clients.values() ?? [])].map(({ client }) => client);
  return {
    enrol: (client: EnrolledClient, tokenHash: string, event: NewEvent, bound?: RoleBound): void =>
      enrol(state, { client, tokenHash }, event, bound),
    clientByToken: (tokenHash: string) => state.clientsByToken.get(tokenHash)?.client ?? null,
    client: (runId: string, id: string) => state.runs.get(runId)?.clients.get(id)?.client ?? null,
    clients: (runId: string) => sortedClients(clientsOf(runId)),
    countClients: (runId: string, at: number) => counted(clientsOf(runId), at),
    changeClient: (runId: string, id: string, change: ClientChange, event: NewEvent) => {
      const run = state.runs.get(runId);
      const entry = run?.clients.get(id);
      if (!run || !entry || !isFrom(entry, change)) return null;
      return changeClient(state, run, entry, change, event);
    },
  } satisfies Verbs;
}

function enrol(state: State, entry: ClientEntry, event: NewEvent, bound?: RoleBound): void {
  const { runId, id } = entry.client;
  const run = state.runs.get(runId);
  if (!run) throw noSuchRun(runId);
  if (run.clients.has(id)) throw nameTaken(id);
  if (bound?.sole) refuseOthers(run, entry.client);
  refuseKnownToken(state, entry.tokenHash);
  run.events = withEvents(run, [event], state.sign);
  putClient(state, run, entry);
}

function refuseOthers({ clients }: RunEntry, { id, role }: EnrolledClient): void {
  for (const { client } of clients.values()) {
    if (client.id !== id && client.role === role && client.state !== 'revoked') {
      throw notSole(client);
    }
  }
}

function refuseKnownToken({ clientsByToken }: State, tokenHash: string): void {
  if (clientsByToken.has(tokenHash)) throw conflict('the token is in use');
}

function putClient({ clientsByToken }: State, run: RunEntry, entry: ClientEntry): void {
  run.clients.set(entry.client.id, entry);
  clientsByToken.set(entry.tokenHash, entry);
}

function isFrom({ client }: ClientEntry, { from }: ClientChange): boolean {
  return from === undefined || client.state === from;
}

function changeClient(
  state: State,
  run: RunEntry,
  { client, tokenHash }: ClientEntry,
  { state: standing = client.state, token, sole }: ClientChange,
  event: NewEvent,
): EnrolledClient {
  if (sole) refuseOthers(run, client);
  if (token) refuseKnownToken(state, token.hash);
  run.events = withEvents(run, [event], state.sign);
  state.clientsByToken.delete(tokenHash);
  const changed: EnrolledClient = {
    ...client,
    state: standing,
    tokenExpiresAt: token ? token.expiresAt : client.tokenExpiresAt,
  };
  putClient(state, run, { client: changed, tokenHash: token?.hash ?? tokenHash });
  if (standing !== 'approved') dropOpen(state, run, client.id);
  return changed;
}

function dropOpen(state: State, { rounds }: RunEntry, clientId: string): void {
  for (const id of rounds.at(-1)?.assignments.keys() ?? []) {
    const open = openAssignment(state, id);
    if (open?.clientId === clientId) put(state, { ...open, state: 'dropped' });
  }
}

function counted(clients: readonly EnrolledClient[], at: number): ClientCount[] {
  const counts = new Map<string, ClientCount>();
  for (const client of clients) {
    const { role } = client;
    const standing = standingOf(client, at);
    const key = `${role} ${standing}`;
    counts.set(key, { role, standing, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()];
}
