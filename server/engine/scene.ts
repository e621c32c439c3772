/** A run and its round as they were loaded, and what every duty does with them. */
import { TributaryError } from '../../protocol/errors.js';
import type { RunState } from '../../protocol/messages.js';
import type { AssignmentRecord, Checkpoint, NewEvent, RoundChanges, Run } from '../core/records.js';
import type { Round, RoundEvent } from '../core/round.js';
import { step } from '../core/round.js';
import type { EngineTools } from './engine.js';
import { outcomeOf } from './meter.js';

export interface Scene {
  readonly run: Run;
  readonly round: Round;
  readonly parts: EngineTools;
  /** Aborted where an operator has stopped the run meanwhile. */
  readonly signal?: AbortSignal;
}

/** Steps the round and stores it; false where another engine was first. */
export async function commit(
  { round, parts }: Scene,
  event: RoundEvent,
  changes: RoundChanges,
): Promise<boolean> {
  const next = step(round, event);
  if (!(await parts.store.commit(next, changes))) return false;
  const outcome = outcomeOf(next, changes);
  if (outcome) parts.meter?.roundEnded(outcome);
  if (outcome === 'committed') {
    const { runId, number, attempt, version } = next;
    parts.log.info({ runId, round: number, attempt, version }, 'round committed');
  }
  return true;
}

export function event({ round, parts }: Scene, type: string, body: object): NewEvent {
  const { number, attempt } = round;
  return { at: parts.clock.now(), type, body: { round: number, attempt, ...body } };
}

export async function assignmentsOf({ round, parts }: Scene): Promise<AssignmentRecord[]> {
  return parts.store.assignments(round.runId, round.number, round.attempt);
}

/**
 * Clients that may take part and train, present or not. `expired`: also those whose token is good no
 * longer. What a rule computes with must not hang on the hour.
 */
export async function countTrainers(
  { run, parts }: Pick<Scene, 'run' | 'parts'>,
  { expired }: { readonly expired: boolean },
): Promise<number> {
  const counts = await parts.store.countClients(run.id, parts.clock.now());
  return counts
    .filter(({ standing }) => standing === 'approved' || (expired && standing === 'expired'))
    .filter(({ role }) => role !== 'evaluator')
    .reduce((sum, { count }) => sum + count, 0);
}

export async function checkpointOf({ run, parts }: Scene, version: number): Promise<Checkpoint> {
  const checkpoint = await parts.store.checkpoint(run.id, version);
  if (!checkpoint) {
    throw new TributaryError('storage_unavailable', `run ${run.id} has no checkpoint ${version}`);
  }
  return checkpoint;
}

/** Updates of a round that is over are deleted, unless the run keeps them for replay. */
export async function releaseUpdates(
  { run, parts }: Pick<Scene, 'run' | 'parts'>,
  records: readonly AssignmentRecord[],
): Promise<void> {
  if (run.spec.keepUpdates) return;
  for (const { state, update } of records) {
    if (state === 'accepted' && update) await parts.blobs.delete(update.sha256);
  }
}

/** Tells everybody who is here how the run stands. */
export function announce(
  { run, parts }: Scene,
  state: Pick<RunState, 'round' | 'version'> & {
    status?: RunState['status'];
    reason?: string | null;
  },
): void {
  const { status = run.status, reason, round, version } = state;
  const message = { status, round, rounds: run.spec.rounds, version };
  parts.transport.announce(run.id, reason ? { ...message, reason } : message);
}
