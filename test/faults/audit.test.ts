/** The audit of `npm run faults` on trial itself: it must find what was lost, doubled or changed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Evidence } from '../../bench/faults/audit.js';
import { audit } from '../../bench/faults/audit.js';
import { examples, faultRun, faultTrainer, initialModel, names } from '../../bench/faults/task.js';
import { join } from '../../client/join.js';
import { checkpointsOf } from '../support/database.js';
import type { Stage } from '../support/stage.js';
import { openStage } from '../support/stage.js';

let stage: Stage;
let evidence: Evidence;

beforeAll(async () => {
  stage = await openStage();
  const { api, url, database } = stage;
  const blob = await api.putBlob(initialModel);
  const { id: runId } = await api.createRun({ ...faultRun(2), init: { blob } });
  const taking = names.map(async (name) => {
    const { token } = await api.enrol(runId, name, 'source');
    return join({ url, token, train: faultTrainer(name) });
  });
  const receipts = (await Promise.all(taking)).flatMap((summary) => summary.receipts);
  evidence = { runId, receipts, examples, reference: await checkpointsOf(database, runId) };
});
afterAll(() => stage.close());

/** What the audit says while a statement has had its effect. */
async function auditAfter(sql: string, ...values: unknown[]): ReturnType<typeof audit> {
  const { database } = stage;
  await database.query('BEGIN');
  try {
    // What the database itself guards against is not the audit's to find.
    await database.query(`SET LOCAL session_replication_role = 'replica'`);
    await database.query(sql, ...values);
    return await audit(database, evidence);
  } finally {
    await database.query('ROLLBACK');
  }
}

describe('the audit of a run', () => {
  it('finds nothing where nothing happened', async () => {
    expect(evidence.receipts).toHaveLength(6);
    expect(await audit(stage.database, evidence)).toEqual({ lost: [], double: [], differing: [] });
  });

  it('finds an update whose receipt is held and which is not stored', async () => {
    const [{ assignmentId, round, clientId }] = evidence.receipts;
    const { lost } = await auditAfter('DELETE FROM updates WHERE assignment_id = $1', assignmentId);
    expect(lost).toEqual([`round ${round}, ${clientId}: not stored`]);
  });

  it('finds an update that counted with the weight of another', async () => {
    const { lost } = await auditAfter(
      `UPDATE updates u SET weight = 0.3 FROM assignments a
       WHERE a.id = u.assignment_id AND a.client_id = 'cyd' AND a.round = 2`,
    );
    expect(lost).toEqual(['round 2, cyd: weight 0.3, not 0.2']);
  });

  it('finds an update of a round that was given up', async () => {
    const { lost } = await auditAfter(
      `UPDATE rounds SET phase = 'abandoned', version = NULL, reason = 'by hand' WHERE number = 2`,
    );
    expect(lost).toEqual(
      expect.arrayContaining(names.map((name) => `round 2, ${name}: its round is abandoned`)),
    );
  });

  it('finds an update that the ledger does not name', async () => {
    const { lost } = await auditAfter(
      `UPDATE ledger_events SET body = jsonb_set(body, '{given}', '[]')
       WHERE type = 'round-committed' AND body->>'round' = '1'`,
    );
    expect(lost).toHaveLength(names.length);
    expect(lost).toContain('round 1, bob: not in the ledger');
  });

  it('finds a round that was committed twice', async () => {
    const { double } = await auditAfter(
      `INSERT INTO ledger_events (run_id, seq, at, type, body, prev_hash, hash)
       SELECT run_id, seq + 1000, at, type, body, prev_hash, hash FROM ledger_events
       WHERE type = 'round-committed' AND body->>'round' = '2'`,
    );
    expect(double).toContain('commit of round 2');
    expect(double).toContain('ada in the commit of round 2');
  });

  it('finds a checkpoint with other bits, and one that is missing', async () => {
    const altered = await auditAfter(
      `UPDATE checkpoints SET sha256 = repeat('0', 64) WHERE version = 1`,
    );
    expect(altered.differing).toEqual(['checkpoint 1']);
    const missing = await auditAfter('DELETE FROM checkpoints WHERE version = 2');
    expect(missing.differing).toEqual(['checkpoint 2']);
  });
});
