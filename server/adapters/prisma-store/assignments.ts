/** Assignments and what their clients answer. */
import type { EvaluationReport } from '../../../protocol/update.js';
import type { RoundStore } from '../../core/ports.js';
import { storableUpdate } from '../receipts.js';
import { storableJson, storableText } from '../storable.js';
import { findAssignment, findAssignments, lockedPlace } from './assignment-rows.js';
import type { Database, Tx } from './database.js';
import type { Lead } from './fence.js';
import { leadOf } from './fence.js';
import { record } from './record.js';

type AssignmentVerbs = Pick<
  RoundStore,
  'assignments' | 'assignment' | 'record' | 'drop' | 'report'
>;

export function assignmentStore(db: Database): AssignmentVerbs {
  return {
    assignments: (runId, round, attempt) =>
      db.query('list the assignments', (prisma) =>
        findAssignments(prisma, storableText(runId), round, attempt),
      ),

    assignment: (id) =>
      db.query('read an assignment', (prisma) => findAssignment(prisma, storableText(id))),

    record: async (id, update) => record(db, storableText(id), storableUpdate(update)),

    drop: (id) =>
      db.query('drop an assignment', (prisma) => drop(prisma, storableText(id), leadOf(db.fence))),

    report: (id, report) =>
      db.query('store an evaluation', (prisma) =>
        takeReport(prisma, storableText(id), storableJson(report, 'report')),
      ),
  };
}

async function drop(prisma: Tx, id: string, lead: Lead): Promise<boolean> {
  const [{ leads, dropped }] = await prisma.$queryRaw<[{ leads: boolean; dropped: boolean }]>`
    WITH lead AS (${lead.row}), place AS (${lockedPlace(id)}),
    dropped AS (
      UPDATE assignments a SET state = 'dropped' FROM place
      WHERE a.id = place.id AND place.state = 'invited' AND EXISTS (SELECT FROM lead)
        AND (place.kind, place.phase) IN (('train', 'training'), ('evaluate', 'evaluating'))
      RETURNING 1
    )
    SELECT EXISTS (SELECT FROM lead) AS leads, EXISTS (SELECT FROM dropped) AS dropped`;
  lead.check(leads);
  return dropped;
}

async function takeReport(prisma: Tx, id: string, report: EvaluationReport): Promise<boolean> {
  const count = await prisma.$executeRaw`
    WITH place AS (${lockedPlace(id)})
    UPDATE assignments a SET state = 'accepted', report = ${JSON.stringify(report)}::jsonb
    FROM place
    WHERE a.id = place.id AND place.kind = 'evaluate'
      AND place.state = 'invited' AND place.phase = 'evaluating'`;
  return count === 1;
}
