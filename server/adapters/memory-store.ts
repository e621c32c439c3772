/**
 * The store in memory, for tests and simulation. It behaves as the one on Postgres does (one
 * contract suite runs on both); nothing outlives the process. What goes in and what comes out is
 * copied, so that nobody can change stored state from outside.
 */
import type { Receipt } from '../../protocol/update.js';
import type {
  AssignmentRecord,
  Checkpoint,
  Client,
  NewEvent,
  RoundRecord,
  Run,
  Store,
  UpdateRow,
} from '../core/ports.js';
import type { Round, TallyRow } from '../core/round.js';
import { appendEvents } from './ledger-chain.js';
import { commit } from './memory-store/commit.js';
import {
  findRound,
  newRound,
  openAssignment,
  put,
  type RoundEntry,
  type RunEntry,
  type State,
  textOrNull,
  withEvents,
} from './memory-store/state.js';
import { sortedAssignments, sortedClients, sortedRuns, sortedTally } from './order.js';
import { judge, receiptOf, storableUpdate, verdictOf } from './receipts.js';
import { conflict, nameTaken, noSuchRun, unknownAssignment, usedAssignment } from './refusals.js';
import { storableJson, unchangedJson } from './storable.js';

export function createMemoryStore(): Store {
  const state: State = { runs: new Map(), clientsByToken: new Map(), places: new Map() };
  const find = (id: string): AssignmentRecord | null =>
    state.places.get(id)?.assignments.get(id) ?? null;
  return {
    createRun: verb((run, checkpoint, round, events) =>
      createRun(state, run, checkpoint, round, events),
    ),
    run: verb((id) => state.runs.get(id)?.run ?? null),
    runs: verb(() => sortedRuns([...state.runs.values()].map(({ run }) => run))),
    checkpoint: verb((runId, version) => state.runs.get(runId)?.checkpoints.get(version) ?? null),
    events: verb((runId) => [...(state.runs.get(runId)?.events ?? [])]),

    enrol: verb((client, tokenHash, event) => enrol(state, client, tokenHash, event)),
    clientByToken: verb((tokenHash) => state.clientsByToken.get(tokenHash) ?? null),
    clients: verb((runId) => sortedClients([...(state.runs.get(runId)?.clients.values() ?? [])])),

    currentRound: verb((runId) => {
      const newest = state.runs.get(runId)?.rounds.at(-1);
      return newest ? counted(newest) : null;
    }),
    rounds: verb((runId) => {
      const run = state.runs.get(runId);
      return run ? run.rounds.map((entry) => toRecord(run, entry)) : [];
    }),
    assignments: verb((runId, number, attempt) => {
      const entry = findRound(state, { runId, number, attempt });
      return sortedAssignments([...(entry?.assignments.values() ?? [])]);
    }),
    assignment: verb(find),
    commit: verb((round, changes) => commit(state, round, changes)),
    record: verb((id, update) => record(state, id, update)),
    drop: verb((id) => {
      const open = openAssignment(state, id);
      if (open) put(state, { ...open, state: 'dropped' });
      return open !== null;
    }),
    report: verb((id, report) => {
      const open = openAssignment(state, id);
      if (open?.kind !== 'evaluate') return false;
      put(state, { ...open, state: 'accepted', report: storableJson(report, 'report') });
      return true;
    }),
    close: () => Promise.resolve(),
  };
}

/** A synchronous function as a verb of the port: copies in, a copy out, errors as rejections. */
function verb<A extends unknown[], R>(work: (...args: A) => R): (...args: A) => Promise<R> {
  return (...args) =>
    new Promise((resolve) => {
      resolve(structuredClone(work(...structuredClone(args))));
    });
}

function createRun(
  state: State,
  run: Run,
  checkpoint: Checkpoint,
  round: Round,
  events: readonly NewEvent[],
): void {
  if (state.runs.has(run.id)) throw conflict(`there is a run ${run.id} already`);
  if (round.baseVersion !== checkpoint.version) throw conflict('the round has no checkpoint');
  state.runs.set(run.id, {
    run: {
      ...run,
      spec: unchangedJson(run.spec, 'run'),
      reason: textOrNull(run.reason),
      fold: storableJson(run.fold, 'fold'),
      oracle: textOrNull(run.oracle),
    },
    checkpoints: new Map([[checkpoint.version, checkpoint]]),
    clients: new Map(),
    rounds: [newRound(round)],
    events: appendEvents(null, events),
  });
}

function enrol(state: State, client: Client, tokenHash: string, event: NewEvent): void {
  const run = state.runs.get(client.runId);
  if (!run) throw noSuchRun(client.runId);
  if (run.clients.has(client.id)) throw nameTaken(client.id);
  if (state.clientsByToken.has(tokenHash)) throw conflict('the token is in use');
  run.events = withEvents(run, [event]);
  run.clients.set(client.id, client);
  state.clientsByToken.set(tokenHash, client);
}

function counted({ round, assignments }: RoundEntry): Round {
  const rows = new Map<string, TallyRow>();
  for (const { kind, role, state } of assignments.values()) {
    const key = `${kind} ${role} ${state}`;
    rows.set(key, { kind, role, state, count: (rows.get(key)?.count ?? 0) + 1 });
  }
  return { ...round, tally: sortedTally([...rows.values()]) };
}

function toRecord({ checkpoints }: RunEntry, entry: RoundEntry): RoundRecord {
  const { version } = entry.round;
  const accepted = [...entry.assignments.values()].filter((a) => a.state === 'accepted');
  return {
    round: counted(entry),
    checkpoint: version === null ? null : (checkpoints.get(version) ?? null),
    bytes: accepted.reduce((sum, { update }) => sum + (update?.bytes ?? 0), 0),
    ...entry.results,
  };
}

function record(state: State, id: string, received: Omit<UpdateRow, 'weight'>): Receipt {
  const assignment = state.places.get(id)?.assignments.get(id);
  if (assignment?.kind !== 'train') throw unknownAssignment(id);
  const update = storableUpdate(received);
  if (assignment.update) {
    if (assignment.update.sha256 !== update.sha256) throw usedAssignment(id);
    return receiptOf(assignment, { ...assignment.update, ...verdictOf(assignment.update) }, true);
  }
  const verdict = judge(update.error, openAssignment(state, id) !== null);
  const stored = { ...update, error: verdict.error, weight: null };
  put(state, { ...assignment, state: verdict.status, update: stored });
  return receiptOf(assignment, { ...stored, ...verdict }, false);
}
