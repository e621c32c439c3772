/** Enrolled clients. */
import type { ClientStore } from '../../core/ports.js';
import { sortedClients } from '../order.js';
import { nameTaken } from '../refusals.js';
import { storableText } from '../storable.js';
import type { Database } from './database.js';
import { append } from './ledger.js';
import { toClient, toDate } from './rows.js';

export function clientStore(db: Database): ClientStore {
  return {
    enrol: ({ runId, id, role }, tokenHash, event) =>
      db.transaction('enrol a client', async (tx) => {
        await append(tx, runId, [event]);
        const enrolledAt = toDate(event.at);
        const count = await tx.$executeRaw`
          INSERT INTO clients (run_id, id, role, token_hash, enrolled_at)
          VALUES (${runId}, ${id}, ${role}::role, ${tokenHash}, ${enrolledAt}::timestamptz)
          ON CONFLICT (run_id, id) DO NOTHING`;
        if (count === 0) throw nameTaken(id);
      }),

    clientByToken: (tokenHash) =>
      db.query('look a token up', async (prisma) => {
        const row = await prisma.client.findUnique({
          where: { tokenHash: storableText(tokenHash) },
        });
        return row && toClient(row);
      }),

    clients: (runId) =>
      db.query('list the clients', async (prisma) => {
        const rows = await prisma.client.findMany({ where: { runId: storableText(runId) } });
        return sortedClients(rows.map(toClient));
      }),
  };
}
