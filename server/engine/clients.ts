/** Clients approved, revoked, given new tokens: each change with its event in the ledger. */
import { TributaryError } from '../../protocol/errors.js';
import type { ClientState } from '../../protocol/http.js';
import type { ClientChange } from '../core/ports.js';
import type { EnrolledClient } from '../core/records.js';
import { standingOf } from '../core/standing.js';
import type { EnrolmentParts } from './enrolment.js';
import { enrolment, mustBeSole, stateAtFirst } from './enrolment.js';
import { runOf } from './known-runs.js';
import type { Membership } from './membership.js';
import { ROOT } from './membership.js';
import { refusalOf } from './refusals.js';
import { expiryOf, hashToken, newToken } from './tokens.js';

interface Decision extends Pick<ClientChange, 'token' | 'sole'> {
  readonly type: 'client-approved' | 'client-revoked' | 'client-rotated';
  readonly state: ClientState;
  readonly by: string;
}

/** `changed` is called when something about a client was stored. */
export function membership(
  parts: EnrolmentParts,
  changed: (runId: string, clientId: string) => Promise<void>,
): Membership {
  const { store, clock } = parts;

  const clientOf = async (runId: string, id: string): Promise<EnrolledClient> => {
    const client = await store.client(runId, id);
    if (client) return client;
    await runOf(parts, runId);
    throw new TributaryError('not_found', `run "${runId}" has no client "${id}"`);
  };

  /** `decide` is asked again where another operator was faster; null leaves the client as it is. */
  const change = async (
    runId: string,
    id: string,
    decide: (client: EnrolledClient) => Decision | null,
  ): Promise<EnrolledClient> => {
    for (;;) {
      const client = await clientOf(runId, id);
      const decision = decide(client);
      if (!decision) return client;
      const { type, by, ...to } = decision;
      const event = { at: clock.now(), type, body: { client: id, state: to.state, by } };
      const after = await store.changeClient(runId, id, { from: client.state, ...to }, event);
      if (!after) continue;
      await changed(runId, id);
      return after;
    }
  };

  return {
    ...enrolment(parts),

    approve: (runId, id, by = ROOT) =>
      change(runId, id, ({ state }) => {
        if (state === 'revoked') throw wasRevoked(id);
        return state === 'approved' ? null : { type: 'client-approved', state: 'approved', by };
      }),

    revoke: (runId, id, by = ROOT) =>
      change(runId, id, ({ state }) =>
        state === 'revoked' ? null : { type: 'client-revoked', state: 'revoked', by },
      ),

    async rotate(runId, id, { expiresInMs, by = ROOT } = {}) {
      const run = await runOf(parts, runId);
      const { role } = await clientOf(runId, id);
      // A target that comes back may find another one in its place.
      const sole = await mustBeSole(parts, run, role);
      const token = newToken();
      const expiresAt = expiryOf(clock.now(), expiresInMs);
      const client = await change(runId, id, (before) => ({
        type: 'client-rotated',
        state: before.state === 'revoked' ? stateAtFirst(run) : before.state,
        token: { hash: hashToken(token), expiresAt },
        sole,
        by,
      }));
      return { client, token };
    },

    async authenticate(token) {
      const client = await store.clientByToken(hashToken(token));
      const refusal = client && refusalOf(client, standingOf(client, clock.now()));
      if (refusal) throw refusal;
      return client;
    },
  };
}

function wasRevoked(id: string): TributaryError {
  const message = `site "${id}" was revoked, and its token with it: "tributary site rotate" gives it a new one`;
  return new TributaryError('conflict', message);
}
