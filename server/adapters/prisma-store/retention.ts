/** What is still needed: asked for many blobs at once, by every table that names one. */
import { roundPhase } from '../../../protocol/run.js';
import type { RetentionStore } from '../../core/ports.js';
import { needsUpdates } from '../../core/round.js';
import { Prisma } from '../generated/prisma/client.js';
import { storableText } from '../storable.js';
import type { Database, Tx } from './database.js';
import { requireLead } from './fence.js';

/** The phases of rounds whose updates may still count. */
const unsettled = Prisma.join(
  roundPhase.options
    .filter((phase) => needsUpdates({ phase }))
    .map((phase) => Prisma.sql`${phase}::round_phase`),
);

export function retentionStore(db: Database): RetentionStore {
  return {
    needed: (hashes) => db.query('ask which blobs are needed', (prisma) => needed(prisma, hashes)),
    expireCheckpoints: (runId) =>
      db.transaction('note which checkpoints are kept', async (tx) => {
        await requireLead(tx, db.fence);
        return expire(tx, storableText(runId));
      }),
  };
}

/**
 * State and vectors of a rule are needed of the newest version, and of the one that a round which takes
 * updates or folds them began from; rule modules always: clients that come late are judged by them.
 */
async function needed(prisma: Tx, hashes: readonly string[]): Promise<ReadonlySet<string>> {
  const asked = [...hashes];
  const rows = await prisma.$queryRaw<{ sha256: string }[]>`
    WITH settings AS (
      SELECT id, spec, coalesce((spec->>'keepUpdates')::boolean, false) AS keeps,
             status IN ('running', 'paused') AS lives
      FROM runs
    ),
    named AS (
      SELECT c.sha256, c.state_sha256, c.broadcast_sha256,
             s.keeps OR c.version = newest.version OR c.version = coalesce(live.base_version, -1)
               AS whole
      FROM checkpoints c
      JOIN settings s ON s.id = c.run_id
      CROSS JOIN LATERAL (
        SELECT max(version) AS version FROM checkpoints n WHERE n.run_id = c.run_id
      ) newest
      LEFT JOIN LATERAL (
        SELECT CASE WHEN phase IN (${unsettled}) THEN base_version END
                 AS base_version
        FROM rounds r WHERE r.run_id = c.run_id ORDER BY number DESC, attempt DESC LIMIT 1
      ) live ON true
      WHERE NOT c.collected
        AND (c.sha256 = ANY (${asked}::text[]) OR c.state_sha256 = ANY (${asked}::text[])
             OR c.broadcast_sha256 = ANY (${asked}::text[]))
    ),
    uses AS (
      SELECT sha256 FROM named
      UNION SELECT state_sha256 FROM named WHERE whole
      UNION SELECT broadcast_sha256 FROM named WHERE whole
      UNION
      SELECT u.sha256
      FROM updates u
      JOIN assignments a ON a.id = u.assignment_id
      JOIN settings s ON s.id = a.run_id
      JOIN rounds r ON (r.run_id, r.number, r.attempt) = (a.run_id, a.round, a.attempt)
      WHERE u.sha256 = ANY (${asked}::text[]) AND u.status = 'accepted'
        AND (s.keeps OR r.phase IN (${unsettled}))
      UNION SELECT spec->'rule'->>'module' FROM settings
      UNION SELECT spec->'init'->>'blob' FROM settings WHERE lives OR keeps
      UNION SELECT spec->'oracle'->>'data' FROM settings WHERE lives OR keeps
    )
    SELECT sha256 FROM uses WHERE sha256 = ANY (${asked}::text[])`;
  return new Set(rows.map(({ sha256 }) => sha256));
}

interface Expired {
  readonly sha256: string;
  readonly state_sha256: string | null;
  readonly broadcast_sha256: string | null;
}

/** By an index: each commit would else go through all of the run's versions. */
async function expire(tx: Tx, runId: string): Promise<string[]> {
  const rows = await tx.$queryRaw<Expired[]>`
    UPDATE checkpoints c SET collected = true
    FROM (
      SELECT (SELECT max(version) FROM checkpoints WHERE run_id = ${runId})
               - (spec->>'keepCheckpoints')::int AS last,
             (SELECT CASE WHEN phase IN (${unsettled}) THEN base_version END
              FROM rounds WHERE run_id = ${runId} ORDER BY number DESC, attempt DESC LIMIT 1)
               AS base
      FROM runs
      WHERE id = ${runId} AND jsonb_typeof(spec->'keepCheckpoints') = 'number'
        AND NOT coalesce((spec->>'keepUpdates')::boolean, false)
    ) kept
    WHERE c.run_id = ${runId} AND NOT c.collected AND c.version > 0 AND c.version <= kept.last
      AND c.version IS DISTINCT FROM kept.base
    RETURNING c.sha256, c.state_sha256, c.broadcast_sha256`;
  return rows.flatMap((row) =>
    [row.sha256, row.state_sha256, row.broadcast_sha256].filter((hash) => hash !== null),
  );
}
