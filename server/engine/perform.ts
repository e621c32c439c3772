/**
 * How each duty is done. Each function takes the round from one stored state to the next by a
 * compare-and-swap, and only then tells anybody. Losing the swap is no error: somebody else did the
 * same duty, and the loop looks again.
 */
import type { ErrorCode } from '../../protocol/errors.js';
import { TributaryError } from '../../protocol/errors.js';
import type { AssignmentRecord } from '../core/records.js';
import type { Duty } from '../core/duties.js';
import type { Candidate, RoundEvent } from '../core/round.js';
import { isEvaluated, newestVersion, openRound } from '../core/round.js';
import type { AggregationResult } from './aggregation.js';
import { assignmentMessage, newAssignment } from './assignments.js';
import { backOff } from './back-off.js';
import { isGivenUp } from './damage.js';
import { ending } from './ending.js';
import { pooled } from './evaluation.js';
import { begin, drop, replace } from './invitations.js';
import type { Scene } from './scene.js';
import {
  announce,
  assignmentsOf,
  checkpointOf,
  commit,
  countTrainers,
  event,
  releaseUpdates,
} from './scene.js';

/** What the operator makes good, or another coordinator, and the round goes on where it was. */
const passing: readonly ErrorCode[] = [
  'storage_unavailable',
  'storage_full',
  'blob_damaged',
  'standby',
];

/** A duty that changes something; the others only wait. */
type ActiveDuty = Exclude<Duty, { do: 'wait' }>;

export async function perform(duty: ActiveDuty, scene: Scene): Promise<void> {
  switch (duty.do) {
    case 'begin':
      return begin(scene, duty.cohort, duty.wanted);
    case 'drop':
      return drop(scene, duty.assignmentId, duty.clientId, duty.reason);
    case 'replace':
      return replace(scene, duty.cohort);
    case 'close-collection':
      return closeCollection(scene);
    case 'aggregate':
      return commitAggregate(scene);
    case 'end-evaluation':
      return endEvaluation(scene);
    case 'abandon':
      return abandon(scene, duty.reason);
  }
}

async function closeCollection(scene: Scene): Promise<void> {
  const { round, parts } = scene;
  const closed = await commit(scene, { type: 'close-collection', at: parts.clock.now() }, {});
  if (closed)
    await tellClosed(scene, `round ${round.number} has all the updates that it waits for`);
}

/** Clients that still work for a round that no longer needs them stop. */
async function tellClosed(scene: Scene, reason: string): Promise<void> {
  for (const { state, clientId, id } of await assignmentsOf(scene)) {
    if (state === 'invited') scene.parts.transport.closed(scene.run.id, clientId, id, reason);
  }
}

async function commitAggregate(scene: Scene): Promise<void> {
  const { run, round, parts } = scene;
  const accepted = (await assignmentsOf(scene)).filter(
    (a) => a.kind === 'train' && a.state === 'accepted',
  );
  let committed: boolean;
  try {
    const base = await checkpointOf(scene, round.baseVersion);
    const numClients = await countTrainers(scene, { expired: true });
    const input = { run, round, base, accepted, numClients };
    committed = await parts.retention.whileStoring(async () => {
      const result = await parts.aggregator.aggregate(input, scene.signal);
      return storeResult(scene, result, accepted);
    });
    if (committed) parts.retention.superseded(run, base);
  } catch (error) {
    // The run was stopped, and the round abandoned with it: what went wrong since then is nobody's.
    if (scene.signal?.aborted) return;
    // A storage that is away comes back, and the same updates are folded then. Anything else would
    // fail the same way for ever (a weight that is no number cannot be stored, say), so the round
    // ends with its reason.
    if (isPassing(error) && !(await isGivenUp(scene, error))) throw error;
    parts.log.error({ runId: run.id, round: round.number, err: error }, 'aggregation failed');
    return abandon(
      scene,
      `aggregation failed: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (committed) await releaseUpdates(scene, accepted);
}

function isPassing(error: unknown): boolean {
  return error instanceof TributaryError && passing.includes(error.code);
}

async function storeResult(
  scene: Scene,
  result: AggregationResult,
  accepted: readonly AssignmentRecord[],
): Promise<boolean> {
  const { run, round, parts } = scene;
  const { checkpoint, weights } = result;
  const at = parts.clock.now();
  const { version, sha256 } = checkpoint;
  const evaluators = evaluatorsOf(scene, version);
  const assignments = evaluators.map((client) => newAssignment(round, 'evaluate', client, version));
  const evaluateUntil = assignments.length > 0 ? at + run.spec.evaluateDeadlineMs : null;
  const given = accepted.map(({ id, clientId, update }) => ({
    clientId,
    assignment: id,
    update: update!.sha256,
    weight: weights[id],
  }));
  const ends = evaluateUntil === null ? await ending(scene, version, at, null) : {};
  const committed = await commit(
    scene,
    { type: 'commit', at, version, evaluateUntil },
    {
      ...result,
      ...ends,
      assignments,
      events: [event(scene, 'round-committed', { version, sha256, given }), ...(ends.events ?? [])],
    },
  );
  if (!committed) return false;
  for (const { id, clientId } of accepted) {
    const message = { assignmentId: id, round: round.number, version, weight: weights[id] };
    parts.transport.weighed(run.id, clientId, message);
  }
  for (const record of assignments) {
    const message = assignmentMessage(run, record, checkpoint, run.spec.evaluateDeadlineMs);
    parts.transport.assign(record.clientId, message);
  }
  announce(scene, { round: round.number, version, ...ends.run });
  return true;
}

/** Present clients that evaluate, where this version is one to evaluate. */
function evaluatorsOf({ run, parts }: Scene, version: number): Candidate[] {
  if (!isEvaluated(run.spec, version)) return [];
  return parts.transport
    .present(run.id)
    .filter((presence) => presence.evaluates)
    .map(({ id, role }) => ({ clientId: id, role }));
}

async function endEvaluation(scene: Scene): Promise<void> {
  const { round, parts } = scene;
  const version = round.version!;
  const at = parts.clock.now();
  const evaluation = pooled(version, await assignmentsOf(scene));
  const ends = await ending(scene, version, at, evaluation);
  const changes = { ...ends, ...(evaluation ? { evaluation } : {}) };
  if (!(await commit(scene, { type: 'end-evaluation', at }, changes))) return;
  announce(scene, { round: round.number, version, ...ends.run });
  await tellClosed(scene, `the evaluation of round ${round.number} is over`);
}

/** Ends the round without a model; tries again while the run's retries last. */
async function abandon(scene: Scene, reason: string): Promise<void> {
  const { run, round, parts } = scene;
  const at = parts.clock.now();
  const { number, attempt, baseVersion } = round;
  const again = attempt <= run.spec.retries;
  const failure = { status: 'failed' as const, reason: `round ${number}: ${reason}` };
  const abandoned = await commit(
    scene,
    { type: 'abandon', at, reason },
    {
      ...(again
        ? { next: openRound(run.id, number, attempt + 1, baseVersion, at, at + backOff(attempt)) }
        : { run: failure }),
      events: [
        event(scene, 'round-abandoned', { reason }),
        ...(again ? [] : [event(scene, 'run-failed', { reason })]),
      ],
    },
  );
  if (!abandoned) return;
  parts.log.warn({ runId: run.id, round: number, attempt, reason }, 'round abandoned');
  announce(scene, { round: number, version: baseVersion, ...(again ? {} : failure) });
  await afterAbandoning(scene, reason);
}

/** Why an operator did something, and who it was. */
export interface Cause {
  readonly reason: string;
  readonly by: string;
}

/**
 * An operator ends the run.
 * @param onStopped called once that is stored, before anything that the round works on is deleted
 * @returns false where the round moved on meanwhile: load and try again.
 */
export async function stop(
  scene: Scene,
  { reason, by }: Cause,
  onStopped: () => void,
): Promise<boolean> {
  const { round, parts } = scene;
  const at = parts.clock.now();
  const stopped = { status: 'stopped' as const, reason };
  const last: RoundEvent =
    round.phase === 'evaluating' ? { type: 'end-evaluation', at } : { type: 'abandon', at, reason };
  const events = [event(scene, 'run-stopped', { reason, by })];
  if (!(await commit(scene, last, { run: stopped, byOperator: true, events }))) return false;
  onStopped();
  announce(scene, { round: round.number, version: newestVersion(round), ...stopped });
  // The run is stopped already: an error now would make the operator think that it is not.
  await afterAbandoning(scene, reason).catch((err: unknown) =>
    parts.log.warn({ runId: scene.run.id, err }, 'updates are left to the next start'),
  );
  return true;
}

async function afterAbandoning(scene: Scene, reason: string): Promise<void> {
  await tellClosed(scene, reason);
  await releaseUpdates(scene, await assignmentsOf(scene));
}
