/**
 * The composition root: every part of a coordinator is made and joined here, and nowhere else. Used
 * by the commands, by tests, and by whoever embeds a coordinator in a program of their own.
 */
import { existsSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { join, resolve } from 'node:path';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { TributaryError } from '../protocol/errors.js';
import { createAggregator } from './adapters/aggregation/create-aggregator.js';
import { ClientOracles, combineOracles } from './adapters/client-oracle.js';
import { Closers } from './adapters/closers.js';
import { openDoors } from './adapters/doors.js';
import { createHttpApp } from './adapters/http/app.js';
import { bearerAuth, operatorCheck } from './adapters/http/auth.js';
import { redactedPaths } from './adapters/http/logging.js';
import { newKernels } from './adapters/kernels.js';
import { MIN_TOKEN_LENGTH, storedOperatorToken } from './adapters/operator-token.js';
import type { OriginPolicy } from './adapters/origins.js';
import { originPolicy } from './adapters/origins.js';
import { noRuleModules, storedRuleModules } from './adapters/rule-modules.js';
import type { SocketGateway } from './adapters/socket-gateway.js';
import { createSocketGateway } from './adapters/socket-gateway.js';
import type { Rate } from './adapters/socket/rate-limit.js';
import type { Storage } from './adapters/storage.js';
import { openStorage } from './adapters/storage.js';
import { systemClock } from './adapters/system-clock.js';
import { tfjsOracles } from './adapters/tfjs-oracle.js';
import type { Config } from './config.js';
import { isLoopback, readConfig } from './config.js';
import type { BlobStore, Clock, RuleModules, Store } from './core/ports.js';
import { createEngine } from './engine/create-engine.js';
import type { Engine } from './engine/engine.js';
import { packageRoot, packageVersion } from './version.js';

/** Bounds of what peers may ask of a coordinator. Milliseconds, bytes. */
export interface Limits {
  /** Slower peers are cut as if they stood still. */
  readonly minBytesPerSecond: number;
  /** Uploads that one client may have under way at once. */
  readonly uploadsAtOnce: number;
  /** From the connection of a socket to its `hello`. */
  readonly helloTimeoutMs: number;
  /** Messages of one socket. */
  readonly messages: Rate;
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

export interface Coordinator {
  /** Where peers reach it: `publicUrl`, else {@link localUrl}. */
  readonly url: string;
  /** Where it listens on this machine. */
  readonly localUrl: string;
  readonly operatorToken: string;
  readonly engine: Engine;
  readonly store: Store;
  /**
   * Stops cleanly: requests under way end, clients are told, the database is closed, and the embedded
   * server stopped. Nothing is lost: the next start takes every run up where it is.
   */
  close(): Promise<void>;
}

const MAX_UNWRITTEN_BYTES = 16 * 1024 ** 2;

const defaultLimits: Limits = {
  minBytesPerSecond: 1024,
  uploadsAtOnce: 4,
  helloTimeoutMs: 10_000,
  messages: { burst: 60, perSecond: 20 },
  stopMs: 10_000,
};

type Settings = Omit<Config, 'blobs'> &
  Pick<CoordinatorOptions, 'store' | 'server' | 'basePath' | 'pagesDir'> & {
    readonly blobs: Config['blobs'] | BlobStore;
    readonly clock: Clock;
    readonly log: Logger;
    readonly limits: Limits;
  };

/**
 * Starts a coordinator: storage, migrations, the runs that are not over, and last the doors.
 *
 * @throws TributaryError `bad_request` for settings that cannot work, `storage_unavailable`,
 * `schema_mismatch`. Whatever had been started is stopped again.
 */
export async function createCoordinator(options: CoordinatorOptions = {}): Promise<Coordinator> {
  const settings = settingsOf(options);
  const closers = new Closers(settings.log);
  try {
    return await compose(settings, closers);
  } catch (error) {
    await closers.close();
    throw error;
  }
}

function settingsOf(options: CoordinatorOptions): Settings {
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

async function compose(settings: Settings, closers: Closers): Promise<Coordinator> {
  const { log, limits } = settings;
  const operatorToken = await tokenOf(settings);
  const stop = { begun: false };
  const common: Common = {
    ...(await openStorage(settings, closers)),
    log,
    isOperator: operatorCheck(operatorToken),
    origins: originPolicy({ allowed: settings.allowedOrigins, publicUrl: settings.publicUrl }),
    draining: () => stop.begun,
  };
  const core = await startCore(settings, common, closers);
  const { engine, gateway } = core;
  const onStop = (): void => {
    stop.begun = true;
  };
  const app = httpApp(settings, common, core);
  const localUrl = await openDoors({ ...settings, ...limits, app, gateway, onStop }, closers);
  if (!settings.server && !isLoopback(settings.host)) {
    const risk = 'tokens and models travel in the clear unless a proxy in front speaks TLS';
    log.warn({ host: settings.host }, `reachable from other machines: ${risk}`);
  }
  const url = (): string => settings.publicUrl ?? localUrl();
  log.info({ url: url(), version: packageVersion }, 'coordinator started');
  return {
    get url() {
      return url();
    },
    get localUrl() {
      return localUrl();
    },
    operatorToken,
    engine,
    store: common.store,
    close: () => closers.close(),
  };
}

/** What the doors and the engine both work with. */
interface Common extends Storage {
  readonly log: Logger;
  readonly isOperator: (token: string) => boolean;
  readonly origins: OriginPolicy;
  readonly draining: () => boolean;
}

interface Core {
  readonly engine: Engine;
  readonly gateway: SocketGateway;
  readonly questions: ClientOracles;
}

/** The engine, with its runs taken up, before anybody can send it anything. */
async function startCore(settings: Settings, common: Common, closers: Closers): Promise<Core> {
  const { clock, limits } = settings;
  const { store, blobs, blobsAt, log } = common;
  const { helloTimeoutMs, messages: rate } = limits;
  const gateway = createSocketGateway({ ...common, helloTimeoutMs, rate });
  const { transport } = gateway;
  const questions = new ClientOracles(gateway, clock);
  const oracles = combineOracles(tfjsOracles(blobs), questions.provider);
  const ruleModules = ruleModulesFor(settings, blobs);
  const parts = { blobs, oracles, ruleModules, kernels: newKernels(log) };
  const { aggregationThreads: threads, aggregationLimitMs: limitMs } = settings;
  const aggregator = createAggregator({ ...parts, blobsAt, threads, limitMs, log });
  const engine = createEngine({ ...parts, store, transport, clock, aggregator, log });
  closers.add('engine', async () => {
    // A round that waits for an oracle, or computes for an hour, would hold up the stop so long.
    questions.close();
    // The engine first: a run that knows of the stop does not take the end of its worker for a fault.
    await Promise.all([engine.close(), aggregator.close()]);
  });
  await engine.start();
  gateway.serve(engine, [engine, questions]);
  return { engine, gateway, questions };
}

/**
 * A rule from a file is code that runs in the coordinator. Where nobody else can connect, that gives
 * an operator nothing that they had not; elsewhere whoever learns the operator's token would have the
 * machine, so it must be asked for (docs/decisions/0010).
 */
function ruleModulesFor(
  { ruleFiles, host, server, publicUrl }: Settings,
  blobs: BlobStore,
): RuleModules {
  const reachable = server !== undefined || publicUrl !== null || !isLoopback(host);
  const taken = ruleFiles ?? (reachable ? 'refuse' : 'allow');
  return taken === 'allow' ? storedRuleModules(blobs) : noRuleModules;
}

function httpApp(settings: Settings, common: Common, core: Core): RequestListener {
  const { uploadIdleMs: idleMs, maxBlobBytes, trustProxy, limits } = settings;
  const { minBytesPerSecond, uploadsAtOnce } = limits;
  return createHttpApp({
    ...common,
    engine: core.engine,
    questions: core.questions,
    presence: core.gateway,
    auth: bearerAuth(core.engine, common.isOperator),
    trustProxy,
    limits: { body: { idleMs, minBytesPerSecond }, maxBlobBytes, uploadsAtOnce },
    version: packageVersion,
    sdkDir: ifBuilt(join(packageRoot, 'dist', 'browser')),
    pagesDir: settings.pagesDir ?? ifBuilt(join(packageRoot, 'dist', 'dashboard')),
  });
}

async function tokenOf({ operatorToken, dataDir }: Settings): Promise<string> {
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

function ifBuilt(dir: string): string | null {
  return existsSync(dir) ? dir : null;
}
