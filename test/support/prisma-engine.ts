/** Prisma's own schema engine on a real database, to compare our migrator with. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';
import { readMigrations } from '../../server/adapters/postgres/migrations.js';

const filters = { externalTables: [], externalEnums: [] };

async function load(): Promise<void> {
  const entry = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm');
  const bytes = await readFile(join(entry, '..', 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(bytes, {
    './schema_engine_bg.js': bindings as unknown as WebAssembly.ModuleImports,
  });
  bindings.__wbg_set_wasm(instance.exports);
  (instance.exports.__wbindgen_start as () => void)();
}

let loaded: Promise<void> | undefined;

async function withEngine<T>(
  url: string,
  migrationsDir: string,
  work: (engine: bindings.SchemaEngine, list: bindings.MigrationList) => Promise<T>,
): Promise<T> {
  await (loaded ??= load());
  // Ours to end: the engine leaves its advisory lock to the end of the connection.
  const pool = new pg.Pool({ connectionString: url });
  const factory = bindMigrationAwareSqlAdapterFactory(new PrismaPg(pool));
  const schema = 'datasource db {\n  provider = "postgresql"\n}\n';
  const options = { datamodels: [['schema.prisma', schema]] as [string, string][] };
  const engine = await bindings.SchemaEngine.new(options, () => undefined, factory);
  const list = {
    baseDir: migrationsDir,
    lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
    shadowDbInitScript: '',
    migrationDirectories: (await readMigrations(migrationsDir)).map(({ name, sql }) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok' as const, value: sql } },
    })),
  };
  try {
    return await work(engine, list);
  } finally {
    engine.free();
    await pool.end();
  }
}

/** `prisma migrate deploy`. @returns the names of what it applied */
export function prismaDeploy(url: string, migrationsDir: string): Promise<string[]> {
  return withEngine(url, migrationsDir, async (engine, migrationsList) => {
    const { appliedMigrationNames } = await engine.applyMigrations({ migrationsList, filters });
    return appliedMigrationNames;
  });
}

/** `prisma migrate status`. */
export function prismaStatus(
  url: string,
  migrationsDir: string,
): Promise<bindings.DiagnoseMigrationHistoryOutput> {
  return withEngine(url, migrationsDir, (engine, migrationsList) =>
    engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters }),
  );
}
