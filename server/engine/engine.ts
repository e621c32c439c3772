/** The engine's face: what gateways, commands and tests may ask of it. */
import type { GivenWeight, Plan } from '../../protocol/http.js';
import type { Welcome } from '../../protocol/messages.js';
import type { Kernels } from '../core/kernels/kernels.js';
import type { Aggregator } from './aggregator.js';
import type { Meter } from './meter.js';
import type { Retention } from './retention.js';
import type { Membership } from './membership.js';
import type { RunControl } from './run-control.js';
import type { StateAt } from './states.js';
import type { EvaluationReport, Receipt } from '../../protocol/update.js';
import type {
  BlobStore,
  Clock,
  Notifications,
  OracleProvider,
  Presence,
  RuleModules,
  StagedBlob,
  Store,
  Transport,
} from '../core/ports.js';
import type { Client, Run } from '../core/records.js';

/** The few things that the engine says of itself; pino's loggers fit. */
export interface Log {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** The other coordinators on the same store: one of all leads, and the engines of the others rest. */
export interface Others {
  /** Tells the one that leads that something happened in a run. */
  tell(runId: string): void;
  /** Who leads, in words. */
  leader(): string;
}

export interface EngineParts {
  readonly store: Store;
  readonly blobs: BlobStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly oracles: OracleProvider;
  /** Where runs may bring a rule of their own; without it they may not. */
  readonly ruleModules?: RuleModules;
  /** The plain ones in TypeScript if nothing is said. */
  readonly kernels?: Kernels;
  /** Whoever gave it closes it. Rounds are aggregated in this thread if nothing is said. */
  readonly aggregator?: Aggregator;
  /** Where there may be others: the engine rests until it is started. */
  readonly others?: Others;
  /** Runs that may be live at once; no limit if nothing is said. */
  readonly maxRuns?: number;
  /** How far apart sweeps for blobs that nothing needs are; none if nothing is said. */
  readonly sweepEveryMs?: number;
  /** What keeps clients from storing anything at the moment, in words; null for nothing. */
  readonly storageComplaint?: () => string | null;
  /** Where connections to this coordinator and the others learn what became of their clients. */
  readonly notifications?: Pick<Notifications, 'publish'>;
  /** Nobody counts if nothing is said. */
  readonly meter?: Meter;
  readonly log: Log;
}

/** The parts, and what the engine makes of them for its own use. */
export interface EngineTools extends EngineParts {
  readonly kernels: Kernels;
  readonly aggregator: Aggregator;
  readonly retention: Retention;
  /** See `rememberedStates`. */
  readonly stateAt: StateAt;
}

export interface Engine extends Membership, RunControl {
  /** Takes up every run that is not over. The same path as running live. Also after `rest`. */
  start(): Promise<void>;
  /**
   * Leaves all runs to another coordinator: what is under way ends without an outcome. Calls of
   * clients and operators are still served, and whoever leads is told of them.
   */
  rest(): Promise<void>;
  /** Another coordinator may have stored something: about this run, or about any. */
  look(runId?: string): Promise<void>;
  /** Stops making progress; what is under way ends first. Stores stay open. */
  close(): Promise<void>;

  /**
   * Creates a run from what an operator sent. `by` is that operator, for the ledger.
   * @throws TributaryError `bad_request`, `too_many_runs`, `rule_unknown`, `rule_options`,
   * `rule_needs`, `bad_model`.
   */
  createRun(spec: unknown, by?: string): Promise<Run>;

  /** A client connected and said what it can do. The transport lists it as present already. */
  joined(presence: Presence): void;
  /** A client's last connection closed. */
  left(client: Client): void;
  /** What its run will ask of a client. */
  plan(client: Pick<Client, 'runId' | 'role'>): Promise<Plan>;
  /** How its run stands, and what a client that (re)connects has to work on. */
  welcome(client: Client): Promise<Pick<Welcome, 'status' | 'version' | 'assignments'>>;
  /** A client is at work on an assignment of its own: its lease begins anew. */
  heard(client: Client, assignmentId: string): void;
  /** Takes an upload by `work`; the lease of its assignment does not run out meanwhile. */
  whileUploading<T>(client: Client, assignmentId: string, work: () => Promise<T>): Promise<T>;
  decline(client: Client, assignmentId: string, reason: string): Promise<void>;

  /**
   * Greatest length of an upload to this assignment; asked before the body is read.
   * @throws TributaryError `assignment_unknown`.
   */
  maxUploadBytes(client: Client, assignmentId: string): Promise<number>;
  /**
   * The weight that a commit gave the update of an assignment, and the sha256 of the upload.
   * @throws TributaryError `assignment_unknown`.
   */
  weightGiven(client: Client, assignmentId: string): Promise<GivenWeight>;
  /**
   * Judges a spooled upload, stores it and gives the durable receipt. Commits or discards `staged`.
   * @throws TributaryError `assignment_unknown`, `assignment_used`, `storage_unavailable`; a content
   * error is not thrown but is in the receipt.
   */
  submit(client: Client, assignmentId: string, staged: StagedBlob): Promise<Receipt>;
  /**
   * Takes an evaluation, as it counts under the caps; false where it came late or twice.
   * @throws TributaryError `assignment_unknown`, `over_cap`.
   */
  report(client: Client, assignmentId: string, report: EvaluationReport): Promise<boolean>;

  /** What a run is doing at the moment, in words: `waiting for clients: 3 of 8`. */
  now(runId: string): string;
}
