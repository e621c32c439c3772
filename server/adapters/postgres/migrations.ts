/** The migrations that ship with the package: prisma/migrations/<timestamp>_<name>/migration.sql. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Migration {
  /** The directory's name; migrations are applied in the order of their names. */
  readonly name: string;
  readonly sql: string;
  /** sha256 of the file, hex, as Prisma records it. */
  readonly checksum: string;
}

const packageName = 'tributary-fl';

/** The same in the sources (server/adapters/postgres) and built (dist/server/adapters/postgres). */
export function shippedMigrations(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let dir = start; ; dir = dirname(dir)) {
    if (isPackageRoot(dir)) return join(dir, 'prisma', 'migrations');
    if (dir === dirname(dir)) throw new Error(`${start} is not inside the package ${packageName}`);
  }
}

export async function readMigrations(directory: string): Promise<Migration[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  // Beside the directories lies migration_lock.toml.
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    // By code unit, not by locale: every machine must apply them in the same order.
    names.sort().map(async (name) => {
      const sql = await readFile(join(directory, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: sha256(sql) };
    }),
  );
}

/** Like Prisma, takes a file that only changed its line endings (git on Windows) for the same. */
export function matches(migration: Migration, checksum: string): boolean {
  const unix = migration.sql.replaceAll('\r\n', '\n');
  const versions = [migration.sql, unix, unix.replaceAll('\n', '\r\n')];
  return versions.some((sql) => sha256(sql) === checksum);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function isPackageRoot(directory: string): boolean {
  const file = join(directory, 'package.json');
  if (!existsSync(file)) return false;
  const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string };
  return name === packageName;
}
