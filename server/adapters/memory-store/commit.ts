/** The compare-and-swap by which rounds move on. */
import type { AssignmentRecord, RoundChanges } from '../../core/records.js';
import type { Round } from '../../core/round.js';
import { conflict, weightWithoutUpdate } from '../refusals.js';
import { storableJson, storableNumber } from '../storable.js';
import {
  findRound,
  newRound,
  put,
  type Results,
  type RoundEntry,
  type RunEntry,
  type State,
  storableRound,
  textOrNull,
  withEvents,
} from './state.js';

/** Everything that may fail comes before anything is changed: a commit is all or nothing. */
export function commit(state: State, round: Round, changes: RoundChanges): boolean {
  const run = state.runs.get(round.runId);
  const entry = findRound(state, round);
  if (!run || entry?.round.revision !== round.revision - 1) return false;
  if (changes.onlyWhile && run.run.status !== changes.onlyWhile) return false;
  checkCheckpoints(run, round, changes);
  checkAssignments(state, run, entry, changes);
  const results = { ...entry.results, ...resultsOf(changes) };
  const weighed = Object.entries(changes.weights ?? {}).map(([id, weight]) =>
    withWeight(entry, id, weight),
  );
  const events = withEvents(run, changes.events ?? [], state.sign);

  entry.round = storableRound(round);
  entry.results = results;
  run.events = events;
  if (changes.run) run.run = { ...run.run, ...changes.run, reason: textOrNull(changes.run.reason) };
  if (changes.checkpoint) run.checkpoints.set(changes.checkpoint.version, changes.checkpoint);
  if (changes.next) run.rounds.push(newRound(changes.next));
  for (const assignment of changes.assignments ?? []) {
    state.places.set(assignment.id, entry);
    put(state, { ...assignment, state: 'invited', update: null, report: null });
  }
  for (const assignment of weighed) put(state, assignment);
  return true;
}

/** What Postgres' constraints refuse. */
function checkCheckpoints(run: RunEntry, round: Round, { checkpoint, next }: RoundChanges): void {
  const known = new Set(run.checkpoints.keys());
  if (checkpoint) {
    if (known.has(checkpoint.version)) throw conflict('the checkpoint is there already');
    known.add(checkpoint.version);
  }
  const missing = [round.version, next?.baseVersion].find((v) => v != null && !known.has(v));
  if (missing != null) throw conflict(`there is no checkpoint ${missing}`);
  const same = run.rounds.some(
    (r) => r.round.number === next?.number && r.round.attempt === next.attempt,
  );
  if (same) throw conflict('the next round is there already');
}

function checkAssignments(
  { places }: State,
  { clients }: RunEntry,
  { assignments: given }: RoundEntry,
  { assignments = [] }: RoundChanges,
): void {
  const ids = new Set(assignments.map(({ id }) => id));
  const unfit = assignments.find(({ id, clientId }) => places.has(id) || !clients.has(clientId));
  if (unfit || ids.size < assignments.length) {
    throw conflict('an assignment that was given before, or to no client');
  }
  // A second one of a kind would count the client twice.
  const leases = [...given.values(), ...assignments].map((a) => `${a.kind} ${a.clientId}`);
  if (new Set(leases).size < leases.length) throw conflict('two assignments for one client');
}

function resultsOf(changes: RoundChanges): Partial<Results> {
  const { diagnostics, matrices, coefficients, evaluation } = changes;
  return {
    ...(diagnostics && { diagnostics: storableJson(diagnostics, 'diagnostics') }),
    ...(matrices && { matrices: storableJson(matrices, 'matrices') }),
    ...(coefficients && { coefficients: storableJson(coefficients, 'coefficients') }),
    ...(evaluation && { evaluation: storableJson(evaluation, 'evaluation') }),
  };
}

function withWeight(entry: RoundEntry, id: string, weight: number): AssignmentRecord {
  const assignment = entry.assignments.get(id);
  if (assignment?.state !== 'accepted' || !assignment.update) {
    throw weightWithoutUpdate();
  }
  return {
    ...assignment,
    update: { ...assignment.update, weight: storableNumber(weight, 'weight') },
  };
}
