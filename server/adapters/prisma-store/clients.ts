/** Enrolled clients. */
import { TributaryError } from '../../../protocol/errors.js';
import type { ClientStore } from '../../core/ports.js';
import { sortedClients } from '../order.js';
import { storableText } from '../storable.js';
import type { Database } from './database.js';
import { append } from './ledger.js';
import { toClient, toDate } from './rows.js';

export function clientStore(db: Database): ClientStore {
  return {
    enrol: ({ runId, id, role }, tokenHash, event) =>
      db.transaction('enrol a client', async (tx) => {
        await append(tx, runId, [event]);
        // The ledger's lock on the run is held: nobody can take the name in between.
        const taken = await tx.client.findUnique({ where: { runId_id: { runId, id } } });
        if (taken) throw new TributaryError('name_taken', `the run has a client ${id} already`);
        await tx.client.create({
          data: { runId, id, role, tokenHash, enrolledAt: toDate(event.at) },
        });
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
