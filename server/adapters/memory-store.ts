/**
 * The store in memory, for tests and simulation. It behaves as the one on Postgres does (one
 * contract suite runs on both); nothing outlives the process. What goes in and what comes out is
 * copied, so that nobody can change stored state from outside.
 */
import type { Receipt } from '../../protocol/update.js';
import type { Store } from '../core/ports.js';
import type { AssignmentRecord, Checkpoint, NewEvent, Run, UpdateRow } from '../core/records.js';
import type { Round } from '../core/round.js';
import { appendEvents, type Sign } from './ledger-chain.js';
import { clientVerbs } from './memory-store/clients.js';
import { commit } from './memory-store/commit.js';
import { ledgerVerbs } from './memory-store/ledger.js';
import { operatorVerbs } from './memory-store/operators.js';
import { retentionVerbs } from './memory-store/retention.js';
import { roundVerbs } from './memory-store/rounds.js';
import { countRuns, setStatus } from './memory-store/run-status.js';
import {
  findRound,
  newRound,
  openAssignment,
  put,
  type State,
  textOrNull,
  withEvents,
} from './memory-store/state.js';
import { sortedAssignments, sortedRuns } from './order.js';
import { judge, receiptOf, rejectionEvent, storableUpdate, verdictOf } from './receipts.js';
import { conflict, unknownAssignment, usedAssignment } from './refusals.js';
import { storableJson, unchangedJson } from './storable.js';

export interface MemoryStoreOptions {
  /** Signs the ledgers' events (ledger-key.ts); null leaves them unsigned. */
  readonly sign?: Sign | null;
}

export function createMemoryStore({ sign = null }: MemoryStoreOptions = {}): Store {
  const state: State = {
    runs: new Map(),
    clientsByToken: new Map(),
    operators: new Map(),
    places: new Map(),
    coordinatorEvents: [],
    sign,
  };
  const ledger = ledgerVerbs(state);
  const clients = clientVerbs(state);
  const operators = operatorVerbs(state);
  const retention = retentionVerbs(state);
  const rounds = roundVerbs(state);
  const find = (id: string): AssignmentRecord | null =>
    state.places.get(id)?.assignments.get(id) ?? null;
  return {
    createRun: verb((run, checkpoint, round, events) =>
      createRun(state, run, checkpoint, round, events),
    ),
    run: verb((id) => state.runs.get(id)?.run ?? null),
    runs: verb(() => sortedRuns([...state.runs.values()].map(({ run }) => run))),
    versions: verb(rounds.versions),
    countRuns: verb(() => countRuns(state)),
    checkpoint: verb((runId, version) => state.runs.get(runId)?.checkpoints.get(version) ?? null),
    setStatus: verb((runId, from, to) => setStatus(state, runId, from, to)),

    enrol: verb(clients.enrol),
    clientByToken: verb(clients.clientByToken),
    client: verb(clients.client),
    clients: verb(clients.clients),
    countClients: verb(clients.countClients),
    changeClient: verb(clients.changeClient),

    addOperator: verb(operators.addOperator),
    operatorByToken: verb(operators.operatorByToken),
    operators: verb(operators.operators),
    changeOperator: verb(operators.changeOperator),

    currentRound: verb(rounds.currentRound),
    settledRound: verb(rounds.settledRound),
    rounds: verb(rounds.rounds),
    listRounds: verb(rounds.listRounds),
    round: verb(rounds.round),
    evaluations: verb(rounds.evaluations),
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
    events: verb(ledger.events),
    eventsOfType: verb(ledger.eventsOfType),
    coordinatorEvents: verb(ledger.coordinatorEvents),
    append: verb(ledger.append),
    appendCoordinatorEvents: verb(ledger.appendCoordinatorEvents),
    needed: verb(retention.needed),
    expireCheckpoints: verb(retention.expireCheckpoints),
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
    events: appendEvents(null, events, state.sign),
  });
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
  const rejection = rejectionEvent(assignment, update);
  const run = state.runs.get(assignment.runId);
  if (rejection && run) run.events = withEvents(run, [rejection], state.sign);
  put(state, { ...assignment, state: verdict.status, update: stored });
  return receiptOf(assignment, { ...stored, ...verdict }, false);
}
