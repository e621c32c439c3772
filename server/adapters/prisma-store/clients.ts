/** Enrolled clients. */
import type { ClientChange, ClientCount, ClientStore } from '../../core/ports.js';
import type { EnrolledClient } from '../../core/records.js';
import { sortedClients } from '../order.js';
import { nameTaken, notSole } from '../refusals.js';
import { storableText } from '../storable.js';
import type { Database, Tx } from './database.js';
import { append } from './ledger.js';
import { toClient, toDate, toDateOrNull } from './rows.js';

export function clientStore(db: Database): ClientStore {
  return {
    enrol: (client, tokenHash, event, bound) =>
      db.transaction('enrol a client', async (tx) => {
        await append(tx, client.runId, [event], db.sign);
        if (!(await insertClient(tx, client, tokenHash))) throw nameTaken(client.id);
        if (bound?.sole) await refuseOthers(tx, client);
      }),

    clientByToken: (tokenHash) =>
      db.query('look a token up', async (prisma) => {
        const row = await prisma.client.findUnique({
          where: { tokenHash: storableText(tokenHash) },
        });
        return row && toClient(row);
      }),

    client: (runId, id) =>
      db.query('look a client up', async (prisma) => {
        const row = await prisma.client.findUnique({ where: keyOf(runId, id) });
        return row && toClient(row);
      }),

    clients: (runId) =>
      db.query('list the clients', async (prisma) => {
        const rows = await prisma.client.findMany({ where: { runId: storableText(runId) } });
        return sortedClients(rows.map(toClient));
      }),

    countClients: (runId, at) =>
      db.query('count the clients', (prisma) => countClients(prisma, storableText(runId), at)),

    changeClient: (runId, id, change, event) =>
      db.transaction('change a client', async (tx) => {
        // The client before the ledger: a commit takes their locks in this order too.
        const client = await updateClient(tx, runId, id, change);
        if (!client) return null;
        if (client.state !== 'approved') await dropOpen(tx, client);
        await append(tx, client.runId, [event], db.sign);
        if (change.sole) await refuseOthers(tx, client);
        return client;
      }),
  };
}

function keyOf(runId: string, id: string) {
  return { runId_id: { runId: storableText(runId), id: storableText(id) } };
}

/** False where the name is taken. */
async function insertClient(
  tx: Tx,
  { runId, id, role, state, tokenExpiresAt, enrolledAt }: EnrolledClient,
  tokenHash: string,
): Promise<boolean> {
  const count = await tx.$executeRaw`
    INSERT INTO clients (run_id, id, role, state, token_hash, token_expires_at, enrolled_at)
    VALUES (${runId}, ${id}, ${role}::role, ${state}::client_state, ${tokenHash},
            ${toDateOrNull(tokenExpiresAt)}::timestamptz, ${toDate(enrolledAt)}::timestamptz)
    ON CONFLICT (run_id, id) DO NOTHING`;
  return count === 1;
}

/** After `append`, whose lock on the run makes those who would be the sole one come one by one. */
async function refuseOthers(tx: Tx, { runId, id, role }: EnrolledClient): Promise<void> {
  const other = await tx.client.findFirst({
    where: { runId, role, state: { not: 'revoked' }, id: { not: id } },
    select: { id: true, role: true },
  });
  if (other) throw notSole(other);
}

/** As `standingOf` has it. */
function countClients(prisma: Tx, runId: string, at: number): Promise<ClientCount[]> {
  return prisma.$queryRaw<ClientCount[]>`
    SELECT role::text, standing, count(*)::int AS count
    FROM (
      SELECT role, CASE WHEN state <> 'revoked' AND token_expires_at <= ${toDate(at)}::timestamptz
                        THEN 'expired' ELSE state::text END AS standing
      FROM clients WHERE run_id = ${runId}
    ) AS standings
    GROUP BY role, standing`;
}

async function updateClient(
  tx: Tx,
  runId: string,
  id: string,
  { from, state, token }: ClientChange,
): Promise<EnrolledClient | null> {
  const rows = await tx.client.updateManyAndReturn({
    where: { runId: storableText(runId), id: storableText(id), ...(from && { state: from }) },
    data: {
      ...(state && { state }),
      ...(token && { tokenHash: token.hash, tokenExpiresAt: toDateOrNull(token.expiresAt) }),
    },
  });
  const row = rows.at(0);
  return row ? toClient(row) : null;
}

/** The locks are those of a receipt: one that is being given is waited for, and counts. */
async function dropOpen(tx: Tx, { runId, id }: EnrolledClient): Promise<void> {
  await tx.$executeRaw`
    WITH open AS (
      SELECT a.id
      FROM assignments a
      JOIN rounds r ON r.run_id = a.run_id AND r.number = a.round AND r.attempt = a.attempt
      WHERE a.run_id = ${runId} AND a.client_id = ${id} AND a.state = 'invited'
        AND (a.kind::text, r.phase::text) IN (('train', 'training'), ('evaluate', 'evaluating'))
      FOR UPDATE OF a FOR SHARE OF r
    )
    UPDATE assignments a SET state = 'dropped' FROM open WHERE a.id = open.id`;
}
