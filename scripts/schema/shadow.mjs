/** Shadow databases for the schema engine: PGlite in memory, behind Prisma's driver interface. */
import { PGlite } from '@electric-sql/pglite';
import { ColumnTypeEnum, DriverAdapterError } from '@prisma/driver-adapter-utils';

const adapterInfo = { provider: 'postgres', adapterName: 'tributary-shadow' };

/** Prisma's column types by Postgres' type oids: those that the engine's own queries return. */
const columnTypes = new Map([
  [16, ColumnTypeEnum.Boolean],
  [18, ColumnTypeEnum.Character],
  [19, ColumnTypeEnum.Text], // name
  [20, ColumnTypeEnum.Int64],
  [21, ColumnTypeEnum.Int32], // int2
  [23, ColumnTypeEnum.Int32],
  [25, ColumnTypeEnum.Text],
  [26, ColumnTypeEnum.Int64], // oid
  [1009, ColumnTypeEnum.TextArray],
  [1043, ColumnTypeEnum.Text], // varchar
]);

/** From here on, types are made by the migrations (enums); their values come as text. */
const firstUserOid = 16384;

/** As Prisma's own adapters give them: 64-bit integers as text. */
const parsers = { 20: String };

/**
 * A database as the engine sees it. It is made at the first query: the engine also opens a main
 * connection, which it does not use, and each database takes a second and 300 MB.
 *
 * @param {() => Promise<PGlite>} create
 */
function lazyAdapter(create) {
  let database;
  const attempt = async (work) => {
    try {
      return await work(await (database ??= create()));
    } catch (error) {
      throw asPrismaError(error);
    }
  };
  const ask = ({ sql, args }) =>
    attempt((db) => db.query(sql, args, { rowMode: 'array', parsers }));
  return {
    ...adapterInfo,
    async queryRaw(query) {
      const { fields, rows } = await ask(query);
      return {
        columnNames: fields.map(({ name }) => name),
        columnTypes: fields.map(({ name, dataTypeID }) => columnType(name, dataTypeID)),
        rows,
      };
    },
    async executeRaw(query) {
      const { affectedRows } = await ask(query);
      return affectedRows ?? 0;
    },
    async executeScript(script) {
      await attempt((db) => db.exec(script));
    },
    startTransaction() {
      throw new Error('the schema engine was not seen to use transactions');
    },
    getConnectionInfo: () => ({ schemaName: 'public', supportsRelationJoins: true }),
    dispose: async () => undefined, // closed by shadowDatabases().close()
  };
}

function columnType(name, oid) {
  const type = columnTypes.get(oid) ?? (oid >= firstUserOid ? ColumnTypeEnum.Text : undefined);
  if (type === undefined) {
    throw new Error(
      `column "${name}" has type oid ${oid}: add it to columnTypes in ${import.meta.url}`,
    );
  }
  return type;
}

function asPrismaError(error) {
  if (typeof error?.code !== 'string') return error;
  const { code, severity, message, detail, hint, column } = error;
  return new DriverAdapterError({
    kind: 'postgres',
    originalCode: code,
    originalMessage: message,
    code,
    severity: severity ?? 'ERROR',
    message,
    detail,
    hint,
    column,
  });
}

/**
 * A factory for Prisma's schema engine: a new, empty database for each connection.
 *
 * @returns {{ factory: import('@prisma/driver-adapter-utils').SqlMigrationAwareDriverAdapterFactory; close(): Promise<void> }}
 */
export function shadowDatabases() {
  const opened = [];
  const create = async () => {
    const database = await PGlite.create();
    opened.push(database);
    return database;
  };
  const connect = async () => lazyAdapter(create);
  return {
    factory: { ...adapterInfo, connect, connectToShadowDb: connect },
    close: async () => {
      for (const database of opened) await database.close();
    },
  };
}
