import { afterAll } from 'vitest';
import { createPrismaStore } from '../../server/adapters/prisma-store.js';
import { type TestDatabase, testDatabase } from '../support/postgres.js';
import { storeContract } from './store.contract.js';

const databases: TestDatabase[] = [];
afterAll(async () => {
  await Promise.all(databases.map((database) => database.drop()));
});

storeContract('Postgres', async () => {
  const database = await testDatabase();
  databases.push(database);
  return createPrismaStore({ url: database.url });
});
