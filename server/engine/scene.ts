/** A run and its round as they were loaded, and what every duty does with them. */
import { TributaryError } from '../../protocol/errors.js';
import type { RunState } from '../../protocol/messages.js';
import type { AssignmentRecord, Checkpoint, NewEvent, Run } from '../core/ports.js';
import type { Round } from '../core/round.js';
import type { EngineTools } from './engine.js';

export interface Scene {
  readonly run: Run;
  readonly round: Round;
  readonly parts: EngineTools;
  /** Aborted where an operator has stopped the run meanwhile. */
  readonly signal?: AbortSignal;
}

export function event({ round, parts }: Scene, type: string, body: object): NewEvent {
  const { number, attempt } = round;
  return { at: parts.clock.now(), type, body: { round: number, attempt, ...body } };
}

export async function assignmentsOf({ round, parts }: Scene): Promise<AssignmentRecord[]> {
  return parts.store.assignments(round.runId, round.number, round.attempt);
}

/** Clients enrolled in the run that train, present or not. */
export async function countTrainers({ run, parts }: Pick<Scene, 'run' | 'parts'>): Promise<number> {
  const clients = await parts.store.clients(run.id);
  return clients.filter(({ role }) => role !== 'evaluator').length;
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
  const { status = 'running', reason, round, version } = state;
  const message = { status, round, rounds: run.spec.rounds, version };
  parts.transport.announce(run.id, reason ? { ...message, reason } : message);
}
