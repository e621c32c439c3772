/** Assignments: how they are made, and how they are told to their clients. */
import type { Assignment, AssignmentKind } from '../../protocol/messages.js';
import type { AssignmentRecord, Checkpoint, Run } from '../core/records.js';
import { derivedId, randomStream } from '../core/random.js';
import type { Candidate, Round } from '../core/round.js';
import type { ClientId } from '../core/rules/rule.js';
import { trainingFor } from './local-training.js';
import { composedRule, vectorsFor } from './run-rule.js';

export type NewAssignment = Omit<AssignmentRecord, 'state' | 'update' | 'report'>;

/**
 * Ids follow from what they name, so that two engines that choose the same cohort make the same
 * assignments, and a crash between choosing and telling changes nothing.
 */
export function newAssignment(
  { runId, number, attempt }: Round,
  kind: AssignmentKind,
  { clientId, role }: Candidate,
  baseVersion: number,
): NewAssignment {
  const id = idOf({ runId, number, attempt }, kind, clientId);
  return { id, runId, round: number, attempt, clientId, role, kind, baseVersion };
}

function idOf(
  { runId, number, attempt }: Pick<Round, 'runId' | 'number' | 'attempt'>,
  kind: AssignmentKind,
  clientId: ClientId,
): string {
  return derivedId('assignment', runId, number, attempt, kind, clientId);
}

/**
 * The one assignment that a client may have open in a round as it is now, invited or not; null where
 * nobody has one. Two thousand clients that come back must not read the whole cohort each.
 */
export function openIdOf(round: Round, clientId: ClientId): string | null {
  if (round.phase === 'training') return idOf(round, 'train', clientId);
  return round.phase === 'evaluating' ? idOf(round, 'evaluate', clientId) : null;
}

const uploadPath = { train: 'update', evaluate: 'evaluation' } as const;

/** The message that gives an assignment to its client. */
export function assignmentMessage(
  { id: runId, spec }: Run,
  record: NewAssignment,
  checkpoint: Checkpoint,
  remainingMs: number,
): Assignment {
  const { id, round, attempt, clientId, role, kind, baseVersion } = record;
  const { sha256, bytes, version, broadcast } = checkpoint;
  const path = `/v1/runs/${runId}/checkpoints/${version}`;
  const trains = kind === 'train';
  const rule = composedRule(spec);
  return {
    id,
    runId,
    round,
    attempt,
    kind,
    stage: 'collect',
    baseVersion,
    checkpoint: { path, sha256, bytes },
    ...(trains && broadcast && { broadcast: { path: `${path}/broadcast`, ...broadcast } }),
    uploadPath: `/v1/assignments/${id}/${uploadPath[kind]}`,
    training: trainingFor(spec, rule, role),
    seed: randomStream(spec.seed, 'client', clientId, round).uint32(),
    vectors: trains ? vectorsFor(rule.needs, role).map((v) => v.name) : [],
    remainingMs: Math.max(0, remainingMs),
    leaseMs: spec.leaseMs,
  };
}
