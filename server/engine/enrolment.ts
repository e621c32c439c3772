/** New clients of a run: enrolled by an operator, or by themselves where the run's join policy says so. */
import { randomBytes, randomInt } from 'node:crypto';
import { TributaryError, parse } from '../../protocol/errors.js';
import type { ClientState } from '../../protocol/http.js';
import { plainName } from '../../protocol/model.js';
import type { Role } from '../../protocol/run.js';
import type { ClientCount } from '../core/ports.js';
import type { EnrolledClient, Run } from '../core/records.js';
import type { EngineTools } from './engine.js';
import { liveRunOf } from './known-runs.js';
import type { EnrolOptions, Membership, Ticket } from './membership.js';
import { ITSELF, ROOT } from './membership.js';
import { loadOwnRule } from './own-rules.js';
import { composedRule } from './run-rule.js';
import { expiryOf, hashToken, newToken, tokenFrom } from './tokens.js';

/** Clients that enrol themselves: more than that is no crowd but a script. */
const MOST_GUESTS = 100_000;
const MOST_PENDING = 1_000;
const PENDING_RETRY_MS = { from: 60_000, to: 120_000 };

export type EnrolmentParts = Pick<EngineTools, 'store' | 'clock' | 'ruleModules'>;

export function enrolment(parts: EnrolmentParts): Pick<Membership, 'enrol' | 'enrolItself'> {
  return {
    async enrol(runId, name, role, options = {}) {
      return insert(parts, await liveRunOf(parts, runId), { name, role, ...options });
    },

    async enrolItself(runId, wanted, key) {
      const run = await liveRunOf(parts, runId);
      if (run.spec.join === 'token') {
        const message = `run "${runId}" takes only clients that have a token from its operator`;
        throw new TributaryError('forbidden', message);
      }
      const name = wanted ?? guestName(key);
      const token = key === undefined ? newToken() : tokenFrom(key, runId, name);
      try {
        checkRoom(run, await parts.store.countClients(runId, parts.clock.now()));
        return await insert(parts, run, { name, role: 'source', by: ITSELF }, token);
      } catch (error) {
        // It was enrolled before, and did not hear of it.
        const client = await parts.store.clientByToken(hashToken(token));
        if (client) return { client, token };
        throw error;
      }
    },
  };
}

/** The state of a client that is new, or that an operator takes back. */
export function stateAtFirst({ spec }: Run): ClientState {
  return spec.join === 'approved' ? 'pending' : 'approved';
}

async function insert(
  parts: EnrolmentParts,
  run: Run,
  wanted: EnrolOptions & { readonly name: string; readonly role: Role },
  token = newToken(),
): Promise<Ticket> {
  const { store, clock, ruleModules } = parts;
  const { role, by = ROOT, expiresInMs } = wanted;
  await loadOwnRule(run.spec, ruleModules);
  const id = parse(plainName, wanted.name, 'client name');
  const at = clock.now();
  const state = stateAtFirst(run);
  const tokenExpiresAt = expiryOf(at, expiresInMs);
  const client: EnrolledClient = { runId: run.id, id, role, state, tokenExpiresAt, enrolledAt: at };
  const body = { client: id, role, state, by };
  const sole = await mustBeSole(parts, run, role);
  await store.enrol(client, hashToken(token), { at, type: 'client-enrolled', body }, { sole });
  return { client, token };
}

/** Whether the run can have no other client of this role: some rules work with one target. */
export async function mustBeSole(
  { ruleModules }: Pick<EnrolmentParts, 'ruleModules'>,
  { spec }: Run,
  role: Role,
): Promise<boolean> {
  if (role !== 'target') return false;
  await loadOwnRule(spec, ruleModules);
  return composedRule(spec).needs.target === true;
}

/** As many at once may be over by as many: the bounds are there against thousands more. */
function checkRoom({ id, spec }: Run, counts: readonly ClientCount[]): void {
  const enrolled = sum(counts);
  if (spec.join === 'open' && enrolled >= MOST_GUESTS) {
    throw new TributaryError('forbidden', `run "${id}" has ${enrolled} clients and takes no more`);
  }
  const pending = sum(counts.filter(({ standing }) => standing === 'pending'));
  if (spec.join === 'approved' && pending >= MOST_PENDING) {
    const message = `${pending} sites wait for approval in run "${id}", and no more may`;
    const retryAfterMs = randomInt(PENDING_RETRY_MS.from, PENDING_RETRY_MS.to);
    throw new TributaryError('busy', message, undefined, { retryAfterMs });
  }
}

function sum(counts: readonly ClientCount[]): number {
  return counts.reduce((total, { count }) => total + count, 0);
}

/** With a key the same name again. */
function guestName(key: string | undefined): string {
  const random = key === undefined ? randomBytes(32).toString('hex') : hashToken(`guest\n${key}`);
  return `guest-${random.slice(0, 16)}`;
}
