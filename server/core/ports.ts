/**
 * What the engine needs from the outside world, as small interfaces in the words of the domain.
 * One contract suite a port (test/contract) runs against every implementation.
 */
import type { ClientState } from '../../protocol/http.js';
import type { Assignment, RunState } from '../../protocol/messages.js';
import type { Role, RunStatus } from '../../protocol/run.js';
import type { EvaluationReport, Receipt } from '../../protocol/update.js';
import type { Round } from './round.js';
import type { AnyRule, ClientId } from './rules/rule.js';
import type {
  Run,
  Client,
  EnrolledClient,
  Operator,
  Checkpoint,
  StoredBlob,
  AssignmentRecord,
  UpdateRow,
  LedgerEvent,
  NewEvent,
  PooledEvaluation,
  RoundChanges,
  RoundRecord,
  ListedRound,
  RoundPage,
  RoundHistory,
} from './records.js';

// ---------------------------------------------------------------- clock

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once, at or after `at`; the returned function cancels. */
  wakeAt(at: number, callback: () => void): () => void;
}

// ---------------------------------------------------------------- blobs

/** Bytes at rest, read in ranges. */
export interface Blob extends StoredBlob {
  /** Where the bytes are, for whoever has to restore them: a path, a table. */
  readonly where: string;
  read(start: number, length: number): Promise<Uint8Array>;
  /** Reads as many bytes as `out` has, straight into it: it may lie in memory of WebAssembly. */
  readInto(start: number, out: Uint8Array): Promise<void>;
}

/** Bytes that arrived whole and hashed but count for nothing yet. Commit or discard exactly once. */
export interface StagedBlob extends Blob {
  /** Resolves when the bytes are on stable storage under their hash. */
  commit(): Promise<void>;
  discard(): Promise<void>;
}

/** Content-addressed storage for tensors. */
export interface BlobStore {
  /**
   * Spools a stream while hashing it.
   * @throws TributaryError `too_large` past `maxBytes`, `storage_full`, `storage_unavailable`;
   * whatever the source throws.
   */
  stage(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<StagedBlob>;
  /**
   * @throws TributaryError `blob_damaged` where the blob is missing or has lost bytes, and so do reads;
   * `storage_unavailable` where that cannot be known now.
   */
  open(sha256: string): Promise<Blob>;
  /** `storedBefore`: only where nobody has committed the same content since then, at once with that. */
  delete(sha256: string, storedBefore?: number): Promise<void>;
  /** Every blob that is committed, in no order; what comes and goes meanwhile may be missed. */
  list(): AsyncIterable<ListedBlob>;
  /** Removes what uploads have left whose process ended. */
  tidy(): Promise<void>;
}

export interface ListedBlob extends StoredBlob {
  /** When it was committed last. Committing the same content again makes it young again. */
  readonly storedAt: number;
}

// ---------------------------------------------------------------- store

export interface RunStore {
  /** Stores a run with its first checkpoint and its first round, in one transaction. */
  createRun(
    run: Run,
    checkpoint: Checkpoint,
    round: Round,
    events: readonly NewEvent[],
  ): Promise<void>;
  /** null where there is none; the same for every lookup below. */
  run(id: string): Promise<Run | null>;
  /** Newest first. */
  runs(): Promise<Run[]>;
  /** The newest version of every run's model, by run. */
  versions(): Promise<ReadonlyMap<string, number>>;
  /** How many runs have which status; one that none has may be left out. */
  countRuns(): Promise<Partial<Record<RunStatus, number>>>;
  checkpoint(runId: string, version: number): Promise<Checkpoint | null>;
  /**
   * Moves a run from one of the statuses `from` to another, with its event, at once or not at all.
   * False where it has another status.
   */
  setStatus(runId: string, from: readonly RunStatus[], to: NewStatus): Promise<boolean>;
}

export interface NewStatus {
  readonly status: RunStatus;
  readonly reason: string | null;
  readonly event: NewEvent;
}

/** Which events of a ledger: from a sequence number on, and how many at most. Without it, all. */
export interface EventPage {
  readonly from: number;
  readonly limit: number;
}

export interface LedgerStore {
  /** Of a run, from the first. */
  events(runId: string, page?: EventPage): Promise<LedgerEvent[]>;
  /** The same, of one type: the others of a long run would fill the memory. */
  eventsOfType(runId: string, type: string): Promise<LedgerEvent[]>;
  /** Of the coordinator itself: operators, leaders. The same chain, of its own. */
  coordinatorEvents(page?: EventPage): Promise<LedgerEvent[]>;
  /** Adds to a run's ledger what changes nothing else. */
  append(runId: string, events: readonly NewEvent[]): Promise<void>;
  appendCoordinatorEvents(events: readonly NewEvent[]): Promise<void>;
}

export interface ClientStore {
  /** @throws TributaryError `name_taken`; `conflict` where it is to be the sole one and is not. */
  enrol(
    client: EnrolledClient,
    tokenHash: string,
    event: NewEvent,
    bound?: RoleBound,
  ): Promise<void>;
  clientByToken(tokenHash: string): Promise<EnrolledClient | null>;
  client(runId: string, id: ClientId): Promise<EnrolledClient | null>;
  /** In client-id order (UTF-16 code units). */
  clients(runId: string): Promise<EnrolledClient[]>;
  /** How many there are, by role and standing at that time. In no order; none is left out. */
  countClients(runId: string, at: number): Promise<ClientCount[]>;
  /**
   * In one transaction with its event, and with the end of the client's open assignments where it may
   * take part no longer: what has its receipt counts, what comes later is late. null where there is
   * no such client, or none in the state that the change is from.
   *
   * @throws TributaryError `conflict` where it is to be the sole one and is not.
   */
  changeClient(
    runId: string,
    id: ClientId,
    change: ClientChange,
    event: NewEvent,
  ): Promise<EnrolledClient | null>;
}

/** `expired`: approved or pending, with a token that is good no longer. */
export type Standing = ClientState | 'expired';

export interface ClientCount {
  readonly role: Role;
  readonly standing: Standing;
  readonly count: number;
}

export interface RoleBound {
  /**
   * No other client of the run that is not revoked may have its role. Checked where it is stored,
   * under the lock of the run: of two that are enrolled at once, through whichever coordinator, one
   * is refused.
   */
  readonly sole?: boolean;
}

export interface ClientChange extends RoleBound {
  /** Changes a client in this state only: two operators that decide at once must not undo each other. */
  readonly from?: ClientState;
  readonly state?: ClientState;
  /** A new token in the place of the old one, which is good no longer. */
  readonly token?: { readonly hash: string; readonly expiresAt: number | null };
}

export interface OperatorStore {
  /** @throws TributaryError `name_taken`. */
  addOperator(operator: Operator, tokenHash: string, event: NewEvent): Promise<void>;
  operatorByToken(tokenHash: string): Promise<Operator | null>;
  /** By name. */
  operators(): Promise<Operator[]>;
  /** null where there is no such operator. */
  changeOperator(name: string, change: OperatorChange, event: NewEvent): Promise<Operator | null>;
}

export interface OperatorChange {
  /** For good. */
  readonly revoked?: true;
  readonly token?: ClientChange['token'];
}

/** What the collection of garbage asks and tells. */
export interface RetentionStore {
  /** Of these blobs, those that something stored still needs. */
  needed(hashes: readonly string[]): Promise<ReadonlySet<string>>;
  /**
   * Notes which checkpoints are beyond what their run keeps (`keepCheckpoints`; the first, the newest
   * and the base of a live round always stay).
   * @returns their blobs, which something else may need all the same.
   */
  expireCheckpoints(runId: string): Promise<string[]>;
}

export interface RoundStore {
  /** The newest round of a run, its tally counted from the assignments. */
  currentRound(runId: string): Promise<Round | null>;
  /**
   * The newest one whose updates were folded, or never will be; as above. A start looks at it: to list
   * the rounds of a run of months takes seconds.
   */
  settledRound(runId: string): Promise<Round | null>;
  /** Oldest first; every attempt. Whole: of a long run, that is more than a coordinator should hold. */
  rounds(runId: string): Promise<RoundRecord[]>;
  /** One page of them, oldest first; empty where there is no such run. */
  listRounds(runId: string, page: RoundPage): Promise<RoundHistory>;
  /** An attempt at a round; without `attempt` the newest. */
  round(runId: string, number: number, attempt?: number): Promise<ListedRound | null>;
  /** Evaluations of committed rounds, oldest first: what all sites said together. */
  evaluations(runId: string): Promise<PooledEvaluation[]>;
  /** In client-id order. */
  assignments(runId: string, round: number, attempt: number): Promise<AssignmentRecord[]>;
  assignment(id: string): Promise<AssignmentRecord | null>;
  /**
   * Compare-and-swap: stores `round` and `changes` if the stored revision is still
   * `round.revision - 1`, all or nothing. False where somebody else was first.
   *
   * @throws TributaryError `standby` where another coordinator leads by now; `drop` too.
   */
  commit(round: Round, changes: RoundChanges): Promise<boolean>;
  /**
   * The receipt, under a lock on the round. An assignment that has one keeps it (`duplicate` where
   * the hash is the same). While the round no longer collects, what would be accepted is `late`.
   *
   * @throws TributaryError `assignment_used` where another update was taken; `assignment_unknown`.
   */
  record(assignmentId: string, update: Omit<UpdateRow, 'weight'>): Promise<Receipt>;
  /** Ends an open assignment without an update. False where it is not open any more. */
  drop(assignmentId: string): Promise<boolean>;
  /** Stores an evaluation while the round evaluates. False where it came late or twice. */
  report(assignmentId: string, report: EvaluationReport): Promise<boolean>;
}

export interface Store
  extends RunStore, ClientStore, OperatorStore, RoundStore, LedgerStore, RetentionStore {
  close(): Promise<void>;
}

// ---------------------------------------------------------------- notifications

/** What was stored just now. Only a hint to look: what it says is in the store. */
export type Change =
  | { readonly kind: 'run'; readonly runId: string }
  | { readonly kind: 'client'; readonly runId: string; readonly clientId: ClientId }
  /** Changes may have been missed, since the connection was lost for a while: look at everything. */
  | { readonly kind: 'anything' };

/** Tells all coordinators on one store what one of them stored. */
export interface Notifications {
  /**
   * Call it after the change is stored. This process is told before it resolves, also where the
   * others cannot be reached; they look by themselves now and then. Never rejects.
   */
  publish(change: Change): Promise<void>;
  /** Also told of changes that this process published. The returned function ends it. */
  onChange(listener: (change: Change) => void): () => void;
}

// ---------------------------------------------------------------- transport

/** A client that is connected, and what it said that it can do. */
export interface Presence extends Client {
  readonly trains: boolean;
  readonly evaluates: boolean;
  readonly oracleBatches: number;
}

/** Messages to clients. None is awaited: who is gone learns it when it comes back. */
export interface Transport {
  present(runId: string): readonly Presence[];
  assign(clientId: ClientId, assignment: Assignment): void;
  closed(runId: string, clientId: ClientId, assignmentId: string, reason: string): void;
  weighed(
    runId: string,
    clientId: ClientId,
    message: { assignmentId: string; round: number; version: number; weight: number },
  ): void;
  announce(runId: string, state: RunState): void;
}

// ---------------------------------------------------------------- oracle

/** Answers mean loss and gradient on held-back data, in fixed batches. */
export interface LossOracle {
  readonly batches: number;
  /** `params` and `grad` are flat over the shared tensors. `batch` counts from 0. */
  lossAndGrad(params: Float32Array, batch: number): Promise<{ loss: number; grad: Float32Array }>;
}

/** Makes the oracle that a run names. */
export interface OracleProvider {
  /** Name and version of the backend, recorded with the run. */
  describe(run: Pick<Run, 'spec'>): string | Promise<string>;
  /** Refuses, when a run is created, what could not be opened later. @throws TributaryError. */
  check?(run: Pick<Run, 'spec'>): Promise<void>;
  /** `buffers`: the model's buffer tensors at this version, by name. */
  open(
    run: Run,
    buffers: Readonly<Record<string, Float32Array>>,
  ): Promise<LossOracle & { close(): Promise<void> }>;
}

// ---------------------------------------------------------------- rules of one's own

/** Makes the rule of a module that an operator sent along with a run. */
export interface RuleModules {
  /**
   * The rule that the blob holds; the same one each time.
   * @throws TributaryError `rule_unknown` where this coordinator takes none, `bad_request` where the
   * blob is no rule, `blob_damaged`, `storage_unavailable`.
   */
  load(sha256: string): Promise<AnyRule>;
}
