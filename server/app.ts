/**
 * The composition root: every part of a coordinator is made and joined here, and nowhere else. Used
 * by the commands, by tests, and by whoever embeds a coordinator in a program of their own.
 */
import { existsSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { ErrorCode, TributaryError } from '../protocol/errors.js';
import { addressesBehind } from './adapters/addresses.js';
import { createAggregator } from './adapters/aggregation/create-aggregator.js';
import { ClientOracles, combineOracles } from './adapters/client-oracle.js';
import { Closers } from './adapters/closers.js';
import { Crowd } from './adapters/crowd.js';
import { openDoors } from './adapters/doors.js';
import { createHttpApp } from './adapters/http/app.js';
import { bearerAuth, operatorCheck } from './adapters/http/auth.js';
import type { Authenticator } from './adapters/identity.js';
import { certified, guarded } from './adapters/identity.js';
import { createMetrics, type Metrics } from './adapters/metrics.js';
import { measuredAggregator } from './adapters/metrics/measured.js';
import { newKernels } from './adapters/kernels.js';
import type { LedgerKey } from './adapters/ledger-key.js';
import { leadInTurn } from './adapters/leading.js';
import type { OriginPolicy } from './adapters/origins.js';
import { originPolicy } from './adapters/origins.js';
import { noRuleModules, storedRuleModules } from './adapters/rule-modules.js';
import type { SocketGateway } from './adapters/socket-gateway.js';
import { createSocketGateway } from './adapters/socket-gateway.js';
import type { Storage } from './adapters/storage.js';
import { openStorage } from './adapters/storage.js';
import { Strangers } from './adapters/strangers.js';
import { tfjsOracles } from './adapters/tfjs-oracle.js';
import { isLoopback } from './config.js';
import type { BlobStore, RuleModules, Store } from './core/ports.js';
import type { EnrolledClient } from './core/records.js';
import { createEngine } from './engine/create-engine.js';
import type { Engine, Others } from './engine/engine.js';
import { createOperators } from './engine/operators.js';
import { isOperatorToken } from './engine/tokens.js';
import type { CoordinatorOptions, Settings } from './settings.js';
import { addressOf, ledgerKeyOf, settingsOf, tokenOf } from './settings.js';
import { packageRoot, packageVersion } from './version.js';

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

/** How far apart sweeps for blobs that nothing needs are. */
const SWEEP_MS = 600_000;

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

async function compose(settings: Settings, closers: Closers): Promise<Coordinator> {
  const { log, limits } = settings;
  const operatorToken = await tokenOf(settings);
  const isRoot = operatorCheck(operatorToken);
  const stop = { begun: false };
  const here: { url: () => string | null } = { url: () => addressOf(settings) };
  const ledgerKey = await ledgerKeyOf(settings);
  const address = (): string | null => here.url();
  const storage = await openStorage({ ...settings, sign: ledgerKey?.sign, address }, closers);
  const metrics = createMetrics();
  closers.add('metrics', () => metrics.close());
  const common: Common = {
    ...storage,
    metrics,
    refusal: () => storage.leadership.refusal(),
    ledgerKey,
    log,
    isRoot,
    isOperator: (token) => isRoot(token) || isOperatorToken(token),
    origins: originPolicy({ allowed: settings.allowedOrigins, publicUrl: settings.publicUrl }),
    draining: () => stop.begun,
  };
  const core = await startCore(settings, common, closers);
  const { engine, gateway } = core;
  watch(common, gateway);
  const onStop = (): void => {
    stop.begun = true;
  };
  const app = httpApp(settings, common, core);
  const crowd = new Crowd(settings.connectionsPerAddress, addressesBehind(settings.trustProxy));
  const doors = { ...settings, ...limits, app, gateway, crowd, onStop };
  const localUrl = await openDoors(doors, closers);
  if (!settings.server && !settings.tls && !isLoopback(settings.host)) {
    const risk = 'tokens and models travel in the clear unless a proxy in front speaks TLS';
    log.warn({ host: settings.host }, `reachable from other machines: ${risk}`);
  }
  const url = (): string => settings.publicUrl ?? localUrl();
  here.url = url;
  common.leadership.addressChanged();
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
  /** Why this coordinator stands by; null while it leads. */
  readonly refusal: () => TributaryError | null;
  readonly ledgerKey: LedgerKey | null;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Whether it is the configured token. */
  readonly isRoot: (token: string) => boolean;
  /** Whether it is the token of an operator, if it is anybody's. */
  readonly isOperator: (token: string) => boolean;
  readonly origins: OriginPolicy;
  readonly draining: () => boolean;
}

/** What the metrics look up. */
function watch({ metrics, store, leadership, room }: Common, gateway: SocketGateway): void {
  metrics.watch({
    runs: () => store.countRuns(),
    connections: () => gateway.connections(),
    epoch: () => leadership.epoch(),
    storage: () => (room.isLimited ? { ...room.shared, usedBytes: room.usedBytes } : null),
  });
}

interface Core {
  readonly engine: Engine;
  readonly gateway: SocketGateway;
  readonly questions: ClientOracles;
  readonly strangers: Strangers;
  /** The engine's, with what is known of the connection. */
  readonly clients: Authenticator<EnrolledClient>;
}

/** The engine, with its runs taken up where it leads, before anybody can send it anything. */
async function startCore(settings: Settings, common: Common, closers: Closers): Promise<Core> {
  const { clock, limits } = settings;
  const { store, blobs, blobsAt, metrics, log } = common;
  const { helloTimeoutMs, messages: rate } = limits;
  const { connectionsPerSecond } = settings;
  const refused = (code: ErrorCode): void => metrics.refused('socket', code);
  const gateway = createSocketGateway({
    ...{ ...common, clock, refused },
    ...{ helloTimeoutMs, rate, connectionsPerSecond },
  });
  const { transport } = gateway;
  const questions = new ClientOracles(gateway, clock);
  const oracles = combineOracles(tfjsOracles(blobs), questions.provider);
  const ruleModules = ruleModulesFor(settings, blobs);
  const parts = { blobs, oracles, ruleModules, kernels: newKernels(log) };
  const { aggregationThreads: threads, aggregationLimitMs: limitMs, maxRuns } = settings;
  const workers = createAggregator({ ...parts, blobsAt, threads, limitMs, log });
  const aggregator = measuredAggregator(workers, metrics);
  const others = othersOf(common);
  const engine = createEngine({
    maxRuns,
    ...parts,
    store,
    transport,
    clock,
    aggregator,
    others,
    notifications: common.notifications,
    sweepEveryMs: SWEEP_MS,
    meter: metrics,
    storageComplaint: () => common.room.complaint,
    log,
  });
  closers.add('engine', async () => {
    // A round that waits for an oracle, or computes for an hour, would hold up the stop so long.
    questions.close();
    // The engine first: a run that knows of the stop does not take the end of its worker for a fault.
    await Promise.all([engine.close(), aggregator.close()]);
  });
  await leadInTurn({ ...common, engine, gateway, clock }, closers);
  const strangers = new Strangers(limits.strangers, addressesBehind(settings.trustProxy));
  const clients = certified(guarded(engine, strangers), settings.tls?.clientCerts ?? 'off');
  gateway.serve({ ...engine, ...clients }, [engine, questions]);
  return { engine, gateway, questions, strangers, clients };
}

function othersOf({ leadership, notifications }: Storage): Others {
  return {
    tell: (runId) => void notifications.publish({ kind: 'run', runId }),
    leader: () => leadership.leader(),
  };
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
  const { minBytesPerSecond, uploadsAtOnce, uploadsInAll } = limits;
  const { engine, clients, strangers } = core;
  const operators = createOperators(common.store, settings.clock);
  const auth = { ...common, clients, operators: guarded(operators, strangers) };
  return createHttpApp({
    ...{ ...common, engine, operators, strangers },
    blobs: common.uploads,
    questions: core.questions,
    ledgerKey: common.ledgerKey?.shown ?? null,
    presence: core.gateway,
    metricsFor: settings.metrics,
    auth: bearerAuth(auth),
    trustProxy,
    limits: { body: { idleMs, minBytesPerSecond }, maxBlobBytes, uploadsAtOnce, uploadsInAll },
    version: packageVersion,
    sdkDir: ifBuilt(join(packageRoot, 'dist', 'browser')),
    pagesDir: settings.pagesDir ?? ifBuilt(join(packageRoot, 'dist', 'dashboard')),
  });
}

function ifBuilt(dir: string): string | null {
  return existsSync(dir) ? dir : null;
}
