/** What a coordinator was asked for, completed: options before the environment's defaults. */
import type { Server } from 'node:http';
import { resolve } from 'node:path';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { TributaryError } from '../protocol/errors.js';
import { fileBudget } from './adapters/file-budget.js';
import { redactedPaths } from './adapters/http/logging.js';
import { type LedgerKey, loadLedgerKey } from './adapters/ledger-key.js';
import { MIN_TOKEN_LENGTH, storedOperatorToken } from './adapters/operator-token.js';
import type { Rate } from './adapters/socket/rate-limit.js';
import { systemClock } from './adapters/system-clock.js';
import type { Config } from './config.js';
import { readConfig } from './config.js';
import type { BlobStore, Clock, Store } from './core/ports.js';

/** Bounds of what peers may ask of a coordinator. Milliseconds, bytes. */
export interface Limits {
  /** Slower peers are cut as if they stood still. */
  readonly minBytesPerSecond: number;
  /** Uploads that one client may have under way at once. */
  readonly uploadsAtOnce: number;
  /** And all clients together. */
  readonly uploadsInAll: number;
  /** From the connection of a socket to its `hello`. */
  readonly helloTimeoutMs: number;
  /** Messages of one socket. */
  readonly messages: Rate;
  /** Calls of one address without a token that somebody has. */
  readonly strangers: Rate;
  /** From a connection to the end of its first headers. */
  readonly headersTimeoutMs: number;
  /** How long requests under way may take to end when the coordinator stops. */
  readonly stopMs: number;
}

export interface CoordinatorOptions extends Partial<Omit<Config, 'blobs'>> {
  /** Instead of a database; it stays open when the coordinator is closed. Needs `blobs` of its own. */
  readonly store?: Store;
  readonly blobs?: Config['blobs'] | BlobStore;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly limits?: Partial<Limits>;
  /** A server of yours that the coordinator is to answer on; you listen and close. */
  readonly server?: Server;
  /** With `server`: the paths under which the coordinator answers, e.g. `/fl`. */
  readonly basePath?: string;
  /** A folder of pages to serve at `/`, instead of the operators' page that is built in. */
  readonly pagesDir?: string;
}

const MAX_UNWRITTEN_BYTES = 16 * 1024 ** 2;

const defaultLimits: Limits = {
  minBytesPerSecond: 1024,
  uploadsAtOnce: 4,
  uploadsInAll: fileBudget().uploads,
  helloTimeoutMs: 10_000,
  messages: { burst: 60, perSecond: 20 },
  // A classroom behind one address may enrol itself at once, and then one every tenth of a second.
  strangers: { burst: 300, perSecond: 10 },
  headersTimeoutMs: 20_000,
  stopMs: 10_000,
};

export type Settings = Omit<Config, 'blobs'> &
  Pick<CoordinatorOptions, 'store' | 'server' | 'basePath' | 'pagesDir'> & {
    readonly blobs: Config['blobs'] | BlobStore;
    readonly clock: Clock;
    readonly log: Logger;
    readonly limits: Limits;
  };

export function settingsOf(options: CoordinatorOptions): Settings {
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as CoordinatorOptions;
  const settings = { ...readConfig({}), ...given };
  return {
    ...settings,
    dataDir: resolve(settings.dataDir),
    clock: settings.clock ?? systemClock(),
    log: settings.log ?? standardLog(settings.logLevel),
    limits: { ...defaultLimits, ...settings.limits },
  };
}

/** Where the coordinator will be reached; null where only the system knows the port. */
export function addressOf({ publicUrl, server, tls, host, port }: Settings): string | null {
  return publicUrl ?? (server || port === 0 ? null : `${tls ? 'https' : 'http'}://${host}:${port}`);
}

/** A store of somebody else's is signed, if at all, with a key that they name. */
export async function ledgerKeyOf({
  store,
  ledgerKey,
  dataDir,
}: Settings): Promise<LedgerKey | null> {
  return store && ledgerKey === null ? null : loadLedgerKey(ledgerKey, dataDir);
}

export async function tokenOf({ operatorToken, dataDir }: Settings): Promise<string> {
  if (operatorToken === null) return storedOperatorToken(dataDir);
  if (operatorToken.length >= MIN_TOKEN_LENGTH) return operatorToken;
  throw new TributaryError(
    'bad_request',
    `operatorToken: give ${MIN_TOKEN_LENGTH} characters or more`,
  );
}

/**
 * JSON lines on stderr: stdout belongs to the commands. Written in the background, so that a slow
 * reader does not hold up the coordinator; what is left at the end of the process, pino writes then.
 * A reader that stands still loses lines before the coordinator runs out of memory.
 */
function standardLog(level: Config['logLevel']): Logger {
  const destination = pino.destination({ fd: 2, sync: false, maxLength: MAX_UNWRITTEN_BYTES });
  return pino({ level, redact: [...redactedPaths] }, destination);
}
