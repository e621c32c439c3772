/** The engine's face: what gateways, commands and tests may ask of it. */
import type { GivenWeight } from '../../protocol/http.js';
import type { Assignment } from '../../protocol/messages.js';
import type { Role } from '../../protocol/run.js';
import type { Kernels } from '../core/kernels/kernels.js';
import type { RuleState } from '../core/rules/rule.js';
import type { Aggregator } from './aggregator.js';
import type { EvaluationReport, Receipt } from '../../protocol/update.js';
import type {
  BlobStore,
  Client,
  Clock,
  OracleProvider,
  Presence,
  RuleModules,
  Run,
  StagedBlob,
  Store,
  Transport,
} from '../core/ports.js';

/** The few things that the engine says of itself; pino's loggers fit. */
export interface Log {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
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
  readonly log: Log;
}

/** The parts, and what the engine makes of them for its own use. */
export interface EngineTools extends EngineParts {
  readonly kernels: Kernels;
  readonly aggregator: Aggregator;
  /** What a run's rule has kept, by the blob of the state; see `rememberedStates`. */
  readonly stateOf: (runId: string, sha256: string | null) => Promise<RuleState>;
}

export interface Engine {
  /** Takes up every run that is not over. The same path as running live. */
  start(): Promise<void>;
  /** Stops making progress; what is under way ends first. Stores stay open. */
  close(): Promise<void>;

  /**
   * Creates a run from what an operator sent.
   * @throws TributaryError `bad_request`, `rule_unknown`, `rule_options`, `rule_needs`, `bad_model`.
   */
  createRun(spec: unknown): Promise<Run>;
  /** @throws TributaryError `run_not_found`, `run_over`. */
  stopRun(runId: string, reason: string): Promise<Run>;
  /** Registers a client; the token is shown once and stored hashed. */
  enrol(runId: string, name: string, role: Role): Promise<{ client: Client; token: string }>;
  /** The client that a token belongs to; null for a token that was never given out. */
  authenticate(token: string): Promise<Client | null>;

  /** A client connected and said what it can do. The transport lists it as present already. */
  joined(presence: Presence): void;
  /** A client's last connection closed. */
  left(client: Client): void;
  /** What a client that (re)connects has to work on. */
  openAssignments(client: Client): Promise<Assignment[]>;
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
  /** Takes an evaluation; false where it came late or twice. */
  report(client: Client, assignmentId: string, report: EvaluationReport): Promise<boolean>;

  /** What a run is doing at the moment, in words: `waiting for clients: 3 of 8`. */
  now(runId: string): string;
}
