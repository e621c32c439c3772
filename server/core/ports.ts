/**
 * What the engine needs from the outside world, as small interfaces in the words of the domain.
 * One contract suite a port (test/contract) runs against every implementation.
 */
import type { Evaluation } from '../../protocol/http.js';
import type { ErrorBody } from '../../protocol/errors.js';
import type { Assignment, AssignmentKind, RunState } from '../../protocol/messages.js';
import type { Role, RunSpec, RunStatus } from '../../protocol/run.js';
import type { EvaluationReport, Metrics, Receipt } from '../../protocol/update.js';
import type { FoldScale } from './kernels/kernels.js';
import type { Round } from './round.js';
import type { AnyRule, ClientId, Coefficients, Json } from './rules/rule.js';

// ---------------------------------------------------------------- clock

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once, at or after `at`; the returned function cancels. */
  wakeAt(at: number, callback: () => void): () => void;
}

// ---------------------------------------------------------------- blobs

/** Bytes at rest, read in ranges. */
export interface Blob {
  readonly sha256: string;
  readonly bytes: number;
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
   * @throws TributaryError `too_large` past `maxBytes`; whatever the source throws.
   */
  stage(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<StagedBlob>;
  /** @throws TributaryError `storage_unavailable` where the blob is missing or has another size. */
  open(sha256: string): Promise<Blob>;
  delete(sha256: string): Promise<void>;
}

// ---------------------------------------------------------------- store

export interface Run {
  readonly id: string;
  readonly spec: RunSpec;
  readonly status: RunStatus;
  readonly reason: string | null;
  readonly fold: FoldScale;
  /** Name and version of the oracle's backend; null where no oracle is used. */
  readonly oracle: string | null;
  readonly createdAt: number;
}

export interface Client {
  readonly runId: string;
  /** The name given at enrolment: fixed, and what "client-id order" sorts by. */
  readonly id: ClientId;
  readonly role: Role;
}

/** The model after a round, with the rule's and the optimizer's state. Version 0 is the start. */
export interface Checkpoint {
  readonly runId: string;
  readonly version: number;
  /** safetensors with every tensor of the model. */
  readonly sha256: string;
  readonly bytes: number;
  /** safetensors with the state's tensors (float64), its values in the metadata; null if empty. */
  readonly stateSha256: string | null;
  /** safetensors with what the rule sends down with the model; null where that is nothing. */
  readonly broadcast: StoredBlob | null;
}

/** Bytes in the blob store, without opening them. */
export type StoredBlob = Pick<Blob, 'sha256' | 'bytes'>;

export type AssignmentState = 'invited' | 'accepted' | 'rejected' | 'late' | 'dropped';

/** An assignment as it is stored, with its receipt once there is one. */
export interface AssignmentRecord {
  readonly id: string;
  readonly runId: string;
  readonly round: number;
  readonly attempt: number;
  readonly clientId: ClientId;
  readonly role: Role;
  readonly kind: AssignmentKind;
  readonly baseVersion: number;
  readonly state: AssignmentState;
  readonly update: UpdateRow | null;
  /** The report of an `evaluate` assignment. */
  readonly report: EvaluationReport | null;
}

/** An update as it is stored: its facts, its receipt, and after the commit its weight. */
export interface UpdateRow {
  readonly sha256: string;
  readonly bytes: number;
  readonly receivedAt: number;
  /** Why it was rejected or late; null where it was accepted. */
  readonly error: ErrorBody | null;
  /** Zero and empty where the update was rejected before its facts could be read. */
  readonly numExamples: number;
  readonly numSteps: number;
  readonly norm: number;
  readonly maxAbs: number;
  readonly metrics: Metrics;
  readonly weight: number | null;
}

export interface LedgerEvent {
  readonly seq: number;
  readonly at: number;
  readonly type: string;
  readonly body: Json;
  /** sha256 over the previous event's hash and this event; the first has 64 zeros before it. */
  readonly prevHash: string;
  readonly hash: string;
}
export type NewEvent = Pick<LedgerEvent, 'at' | 'type' | 'body'>;

/** What one transition of a round changes beside the round itself, in one transaction. */
export interface RoundChanges {
  /** Invited clients. */
  readonly assignments?: readonly Omit<AssignmentRecord, 'state' | 'update' | 'report'>[];
  readonly checkpoint?: Checkpoint;
  /** Weight given, by assignment id. */
  readonly weights?: Readonly<Record<string, number>>;
  readonly coefficients?: Readonly<Record<string, Coefficients['model']>>;
  readonly diagnostics?: Readonly<Record<string, number>>;
  readonly matrices?: Readonly<Record<string, readonly (readonly number[])[]>>;
  readonly evaluation?: Evaluation;
  readonly run?: { readonly status: RunStatus; readonly reason: string | null };
  /** The round that follows this one. */
  readonly next?: Round;
  readonly events?: readonly NewEvent[];
}

/** What the rounds of a run show when they are listed. */
export interface RoundRecord {
  readonly round: Round;
  readonly checkpoint: Checkpoint | null;
  readonly bytes: number;
  readonly diagnostics: Readonly<Record<string, number>>;
  readonly matrices: Readonly<Record<string, readonly (readonly number[])[]>>;
  readonly coefficients: Readonly<Record<string, Coefficients['model']>>;
  readonly evaluation: Evaluation | null;
}

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
  checkpoint(runId: string, version: number): Promise<Checkpoint | null>;
  events(runId: string): Promise<LedgerEvent[]>;
}

export interface ClientStore {
  /** @throws TributaryError `name_taken`. */
  enrol(client: Client, tokenHash: string, event: NewEvent): Promise<void>;
  clientByToken(tokenHash: string): Promise<Client | null>;
  /** In client-id order (UTF-16 code units). */
  clients(runId: string): Promise<Client[]>;
}

export interface RoundStore {
  /** The newest round of a run, its tally counted from the assignments. */
  currentRound(runId: string): Promise<Round | null>;
  /** Oldest first; every attempt. */
  rounds(runId: string): Promise<RoundRecord[]>;
  /** In client-id order. */
  assignments(runId: string, round: number, attempt: number): Promise<AssignmentRecord[]>;
  assignment(id: string): Promise<AssignmentRecord | null>;
  /**
   * Compare-and-swap: stores `round` and `changes` if the stored revision is still
   * `round.revision - 1`, all or nothing. False where somebody else was first.
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

export interface Store extends RunStore, ClientStore, RoundStore {
  close(): Promise<void>;
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
   * blob is no rule, `storage_unavailable`.
   */
  load(sha256: string): Promise<AnyRule>;
}
