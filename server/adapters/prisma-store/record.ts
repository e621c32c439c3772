/** The receipt of an update, given under a lock on its round. */
import type { ErrorBody } from '../../../protocol/errors.js';
import type { Receipt } from '../../../protocol/update.js';
import type { UpdateRow } from '../../core/records.js';
import type { Sign } from '../ledger-chain.js';
import { judge, receiptOf, rejectionEvent, verdictOf } from '../receipts.js';
import { unknownAssignment, usedAssignment } from '../refusals.js';
import { findAssignment, lockedPlace } from './assignment-rows.js';
import type { Database, Tx } from './database.js';
import { append } from './ledger.js';
import { toDate } from './rows.js';

type ReceivedUpdate = Omit<UpdateRow, 'weight'>;

/** @throws TributaryError `assignment_used`, `assignment_unknown` */
export async function record(db: Database, id: string, update: ReceivedUpdate): Promise<Receipt> {
  const what = 'store a receipt';
  // What is turned away goes into the ledger with its receipt. The others, which are nearly all, need
  // one statement only.
  const first = update.error
    ? await db.transaction(what, (tx) => recordRejected(tx, id, update, db.sign))
    : await db.query(what, (prisma) => recordFirst(prisma, id, update));
  return first ?? (await db.query(what, (prisma) => repeat(prisma, id, update.sha256)));
}

async function recordRejected(
  tx: Tx,
  id: string,
  update: ReceivedUpdate,
  sign: Sign | null,
): Promise<Receipt | null> {
  const receipt = await recordFirst(tx, id, update);
  const event = receipt && rejectionEvent({ id, ...receipt }, update);
  if (event) await append(tx, receipt.runId, [event], sign);
  return receipt;
}

interface Place {
  readonly run_id: string;
  readonly round: number;
  readonly client_id: string;
  readonly collects: boolean;
}

/**
 * The first update of an assignment: its row, the assignment's state and the locks in one statement,
 * which is one transaction and one wait for the disk. Null where no assignment waits for it.
 */
async function recordFirst(
  prisma: Tx,
  id: string,
  update: ReceivedUpdate,
): Promise<Receipt | null> {
  const inTime = judge(update.error, true);
  const after = judge(update.error, false);
  const rows = await prisma.$queryRaw<Place[]>`
    WITH place AS (${lockedPlace(id)}),
    verdict AS (
      SELECT id, run_id, round, client_id, collects,
             CASE WHEN collects THEN ${inTime.status} ELSE ${after.status} END AS status,
             (CASE WHEN collects THEN ${toText(inTime.error)} ELSE ${toText(after.error)} END)::jsonb
               AS error
      FROM (
        SELECT *, state = 'invited' AND phase = 'training' AS collects
        FROM place WHERE kind = 'train'
      ) AS judged
    ),
    receipt AS (
      INSERT INTO updates (assignment_id, sha256, bytes, received_at, status, error_code, error,
                           num_examples, num_steps, norm, max_abs, metrics, flags)
      SELECT id, ${update.sha256}, ${update.bytes}::bigint,
             ${toDate(update.receivedAt)}::timestamptz,
             status::receipt_status, error->>'code', error,
             ${update.numExamples}::bigint, ${update.numSteps}::bigint,
             ${update.norm}::float8, ${update.maxAbs}::float8,
             ${JSON.stringify(update.metrics)}::jsonb, ${JSON.stringify(update.flags)}::jsonb
      FROM verdict
    ),
    moved AS (
      UPDATE assignments a SET state = v.status::assignment_state FROM verdict v WHERE a.id = v.id
    )
    SELECT run_id, round, client_id, collects FROM verdict`;
  const place = rows.at(0);
  if (!place) return null;
  const verdict = place.collects ? inTime : after;
  const { run_id: runId, round, client_id: clientId } = place;
  return receiptOf({ id, runId, round, clientId }, { ...update, ...verdict }, false);
}

function toText(error: ErrorBody | null): string | null {
  return error && JSON.stringify(error);
}

/** The answer where no assignment waits: a later statement, so it sees what an earlier one stored. */
async function repeat(prisma: Tx, id: string, sha256: string): Promise<Receipt> {
  const assignment = await findAssignment(prisma, id);
  if (!assignment?.update) throw unknownAssignment(id);
  if (assignment.update.sha256 !== sha256) throw usedAssignment(id);
  return receiptOf(assignment, { ...assignment.update, ...verdictOf(assignment.update) }, true);
}
