/** How receipts come about: shared by the stores, so that they cannot disagree. */
import { TributaryError, type ErrorBody } from '../../protocol/errors.js';
import type { Receipt } from '../../protocol/update.js';
import type { AssignmentRecord, NewEvent, UpdateRow } from '../core/records.js';
import { storableJson, storableNumber } from './storable.js';

export interface Verdict {
  readonly status: Receipt['status'];
  readonly error: ErrorBody | null;
}

const late = new TributaryError('late', 'the round no longer waits for this update').toBody();

/**
 * What an update is answered. What is rejected stays rejected whenever it comes; what would be
 * accepted is late where the round no longer collects, or the assignment was ended before.
 */
export function judge(error: ErrorBody | null, collects: boolean): Verdict {
  if (error) return { status: error.code === 'late' ? 'late' : 'rejected', error };
  return collects ? { status: 'accepted', error: null } : { status: 'late', error: late };
}

/** The verdict on an update that is stored. */
export function verdictOf({ error }: Pick<UpdateRow, 'error'>): Verdict {
  return judge(error, true);
}

/**
 * The update as it will be read again. Facts of a rejected one may be anything (its delta may have
 * held NaN): what cannot be stored becomes 0.
 *
 * @throws TributaryError `internal` where an accepted update has facts that cannot be stored.
 */
export function storableUpdate(update: Omit<UpdateRow, 'weight'>): Omit<UpdateRow, 'weight'> {
  const { error, metrics } = update;
  const real = error ? orZero : storableNumber;
  const whole = (n: number, what: string): number => real(Number.isSafeInteger(n) ? n : NaN, what);
  const measured = error
    ? Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)))
    : metrics;
  return {
    sha256: update.sha256,
    bytes: update.bytes,
    receivedAt: update.receivedAt,
    error: storableJson(error, 'error of an update'),
    numExamples: whole(update.numExamples, 'numExamples'),
    numSteps: whole(update.numSteps, 'numSteps'),
    norm: real(update.norm, 'norm'),
    maxAbs: real(update.maxAbs, 'maxAbs'),
    metrics: storableJson(measured, 'metrics'),
    flags: storableJson(update.flags, 'flags'),
  };
}

function orZero(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

/** What the ledger says of an update that was turned away; null where it was not. */
export function rejectionEvent(
  { id, round, clientId }: Pick<AssignmentRecord, 'id' | 'round' | 'clientId'>,
  { receivedAt, error, sha256 }: Pick<UpdateRow, 'receivedAt' | 'error' | 'sha256'>,
): NewEvent | null {
  if (!error || judge(error, true).status !== 'rejected') return null;
  const body = { client: clientId, assignment: id, round, code: error.code, sha256 };
  return { at: receivedAt, type: 'update-rejected', body };
}

/** The receipt for an update that is stored. */
export function receiptOf(
  { id, runId, round, clientId }: Pick<AssignmentRecord, 'id' | 'runId' | 'round' | 'clientId'>,
  { sha256, receivedAt, status, error }: Pick<UpdateRow, 'sha256' | 'receivedAt'> & Verdict,
  duplicate: boolean,
): Receipt {
  return {
    assignmentId: id,
    runId,
    round,
    clientId,
    status,
    sha256,
    receivedAt: new Date(receivedAt).toISOString(),
    duplicate,
    ...(error && { error }),
  };
}
