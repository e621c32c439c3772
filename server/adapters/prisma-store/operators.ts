/** Operators beside the one of the configuration. */
import type { OperatorChange, OperatorStore } from '../../core/ports.js';
import type { Operator } from '../../core/records.js';
import { sortedOperators } from '../order.js';
import { operatorTaken } from '../refusals.js';
import { storableText } from '../storable.js';
import type { Database, Tx } from './database.js';
import { appendCoordinatorEvents } from './ledger.js';
import { toDate, toDateOrNull, toOperator } from './rows.js';

export function operatorStore(db: Database): OperatorStore {
  return {
    addOperator: (operator, tokenHash, event) =>
      db.transaction('add an operator', async (tx) => {
        await appendCoordinatorEvents(tx, [event], db.sign);
        if (!(await insertOperator(tx, operator, tokenHash))) throw operatorTaken(operator.name);
      }),

    operatorByToken: (tokenHash) =>
      db.query('look a token up', async (prisma) => {
        const row = await prisma.operator.findUnique({
          where: { tokenHash: storableText(tokenHash) },
        });
        return row && toOperator(row);
      }),

    operators: () =>
      db.query('list the operators', async (prisma) =>
        sortedOperators((await prisma.operator.findMany()).map(toOperator)),
      ),

    changeOperator: (name, change, event) =>
      db.transaction('change an operator', async (tx) => {
        const operator = await updateOperator(tx, name, change);
        if (operator) await appendCoordinatorEvents(tx, [event], db.sign);
        return operator;
      }),
  };
}

/** False where the name is taken. */
async function insertOperator(
  tx: Tx,
  { name, role, revoked, createdAt, tokenExpiresAt }: Operator,
  tokenHash: string,
): Promise<boolean> {
  const count = await tx.$executeRaw`
    INSERT INTO operators (name, role, token_hash, token_expires_at, revoked, created_at)
    VALUES (${name}, ${role}::operator_role, ${tokenHash},
            ${toDateOrNull(tokenExpiresAt)}::timestamptz, ${revoked}, ${toDate(createdAt)}::timestamptz)
    ON CONFLICT (name) DO NOTHING`;
  return count === 1;
}

async function updateOperator(
  tx: Tx,
  name: string,
  { revoked, token }: OperatorChange,
): Promise<Operator | null> {
  const rows = await tx.operator.updateManyAndReturn({
    where: { name: storableText(name) },
    data: {
      ...(revoked && { revoked }),
      ...(token && { tokenHash: token.hash, tokenExpiresAt: toDateOrNull(token.expiresAt) }),
    },
  });
  const row = rows.at(0);
  return row ? toOperator(row) : null;
}
