/** What is stored of runs, clients, rounds and the ledger, as the ports hand it over. */
import type { ClientState, Evaluation, OperatorRole } from '../../protocol/http.js';
import type { ErrorBody } from '../../protocol/errors.js';
import type { AssignmentKind } from '../../protocol/messages.js';
import type { Role, RunSpec, RunStatus } from '../../protocol/run.js';
import type { Metrics } from '../../protocol/metrics.js';
import type { EvaluationReport } from '../../protocol/update.js';
import type { FoldScale } from './kernels/kernels.js';
import type { Round } from './round.js';
import type { ClientId, Coefficients, Json } from './rules/rule.js';

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

/** A client as it is stored. */
export interface EnrolledClient extends Client {
  readonly state: ClientState;
  /** null: good until it is revoked. */
  readonly tokenExpiresAt: number | null;
  readonly enrolledAt: number;
}

/** Somebody who may use the operators' side. */
export interface Operator {
  readonly name: string;
  readonly role: OperatorRole;
  readonly createdAt: number;
  readonly tokenExpiresAt: number | null;
  readonly revoked: boolean;
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
  /** True once its blobs were collected (`keepCheckpoints`); the record stays. */
  readonly collected: boolean;
}

/** Bytes in the blob store, without opening them. */
export interface StoredBlob {
  readonly sha256: string;
  readonly bytes: number;
}

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
  /** What is odd about it, in words; it counts all the same. */
  readonly flags: readonly string[];
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
  /** Ed25519 over `hash`, base64; null where there was no key. */
  readonly signature: string | null;
  readonly keyId: string | null;
}
export type NewEvent = Pick<LedgerEvent, 'at' | 'type' | 'body'>;

/** An evaluation without its sites: of a thousand rounds, these would fill the memory. */
export type PooledEvaluation = Omit<Evaluation, 'sites'>;

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
  /** An operator decided it: unlike the rest, a coordinator that stands by may store it too. */
  readonly byOperator?: true;
  /** The round that follows this one. */
  readonly next?: Round;
  readonly events?: readonly NewEvent[];
  /** Nothing is stored where the run has another status meanwhile, as where somebody was first. */
  readonly onlyWhile?: RunStatus;
}

/** A round with all that came of it. */
export interface RoundRecord {
  readonly round: Round;
  readonly checkpoint: Checkpoint | null;
  readonly bytes: number;
  readonly diagnostics: Readonly<Record<string, number>>;
  readonly matrices: Readonly<Record<string, readonly (readonly number[])[]>>;
  readonly coefficients: Readonly<Record<string, Coefficients['model']>>;
  readonly evaluation: Evaluation | null;
}

/** A round as it is shown: the tables over its cohort would be most of what is read. */
export type ListedRound = Omit<RoundRecord, 'matrices' | 'coefficients'>;

/**
 * Which rounds of a run. Every attempt has a place of its own, the oldest 1; the places stay, since
 * rounds are only added.
 */
export interface RoundPage {
  /** The place of the first; null: so that the page ends with the newest. */
  readonly from: number | null;
  readonly limit: number;
}

export interface RoundHistory {
  /** How many there are, every attempt. */
  readonly inAll: number;
  /** The place of the first of `rounds`, or where it would be. */
  readonly from: number;
  readonly rounds: readonly ListedRound[];
}
