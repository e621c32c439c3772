/** What a failure of the database means to those who asked: broken rule, our bug, or bad weather. */
import { TributaryError } from '../../../protocol/errors.js';
import { meansFull, storageFull } from '../storage-full.js';

interface Failure {
  readonly message: string;
  /** https://www.postgresql.org/docs/current/errcodes-appendix.html; null where it never got there. */
  readonly sqlState: string | null;
}

/** Integrity constraints: the change contradicts what is stored. */
const broken = ['23'];
/** Values, syntax and names that the server cannot make sense of: the query is at fault. */
const faulty = ['0A', '21', '22', '42'];

/**
 * An error with a code: `conflict` where the change contradicts what is stored, `internal` where
 * the query is at fault, `storage_full` where the disk is full, else `storage_unavailable`: lost
 * connections, shutdowns, deadlocks, locks waited for too long. Those may pass, and a retry is safe:
 * nothing was changed, or the verb answers a repetition.
 */
export function asStorageError(error: unknown, what: string): Error {
  if (
    error instanceof TributaryError ||
    error instanceof TypeError ||
    error instanceof RangeError
  ) {
    return error;
  }
  const { message, sqlState } = failureOf(error);
  if (meansFull({ code: sqlState })) {
    return storageFull(`cannot ${what}: ${message}`, undefined, error);
  }
  const options = { cause: error };
  if (isClass(sqlState, broken)) {
    return new TributaryError('conflict', `cannot ${what}: ${message}`, undefined, options);
  }
  if (isClass(sqlState, faulty) || isPrismaUsage(error)) {
    return new TributaryError('internal', `cannot ${what}: ${message}`, undefined, options);
  }
  return new TributaryError(
    'storage_unavailable',
    `cannot ${what}: ${message}`,
    undefined,
    options,
  );
}

function isClass(sqlState: string | null, classes: readonly string[]): boolean {
  return sqlState !== null && classes.includes(sqlState.slice(0, 2));
}

function isPrismaUsage(error: unknown): boolean {
  return error instanceof Error && error.name === 'PrismaClientValidationError';
}

/** The error of Prisma's driver adapter, which Prisma wraps in one with our source code in it. */
interface AdapterCause {
  readonly kind?: string;
  readonly originalCode?: string;
  readonly originalMessage?: string;
}

function failureOf(error: unknown): Failure {
  const cause = adapterCause(error);
  const fallback = error instanceof Error ? lastLine(error.message) : String(error);
  return {
    message: cause?.originalMessage ?? fallback,
    sqlState: cause?.originalCode ?? sqlStateOf(error),
  };
}

function adapterCause(error: unknown): AdapterCause | undefined {
  const { meta } = (error ?? {}) as {
    meta?: { driverAdapterError?: { cause?: AdapterCause } };
  };
  return meta?.driverAdapterError?.cause;
}

/** pg's own errors have the state as their code; Prisma's codes (P2010) and Node's do not look like one. */
function sqlStateOf(error: unknown): string | null {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' &&
    /^[0-9A-Z]{5}$/.test(code) &&
    !/^(P[0-9]{4}|E[A-Z]+)$/.test(code)
    ? code
    : null;
}

/** Prisma puts the place in our source before the message. */
function lastLine(message: string): string {
  return message.trim().split('\n').at(-1) ?? '';
}
