import { defineConfig } from 'prisma/config';

// Prisma's own commands on a given database (`prisma migrate status`, `prisma studio`). The
// coordinator doesn't read this: it applies prisma/migrations itself when it starts.
const url = process.env.DATABASE_URL;

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  ...(url ? { datasource: { url } } : {}),
});
