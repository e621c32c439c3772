/**
 * One schema per Socket.IO message. The socket carries control only; tensors go by HTTP.
 *
 * A client connects with `auth: { token }`, says `hello`, and is then present: it may be given
 * assignments until it disconnects. Every message from a client is acknowledged with {@link Ack}.
 */
import { z } from 'zod';
import { errorBody } from './errors.js';
import { sha256Hex, trainingConfig } from './model.js';
import { role, runStatus } from './run.js';

/** Raised when a message changes meaning; the previous version stays served. */
export const PROTOCOL_VERSION = 1;

export const hello = z.strictObject({
  protocolVersion: z.int(),
  /** Shown to operators. */
  sdkVersion: z.string().max(64),
  /** Where the client computes: `wasm`, `tensorflow`, `webgl`, … Shown to operators. */
  backends: z.array(z.string().max(32)).max(8).default([]),
  /** What the client can be asked to do. A client that can do nothing only watches. */
  trains: z.boolean().default(true),
  evaluates: z.boolean().default(false),
  /** Answers loss and gradient on its own validation set, in so many batches (0: does not). */
  oracleBatches: z.int().nonnegative().default(0),
});
export type Hello = z.infer<typeof hello>;

export const assignmentKind = z.enum(['train', 'evaluate']);
export type AssignmentKind = z.infer<typeof assignmentKind>;

/** One client's lease on one round; its id is the idempotency key of the upload. */
export const assignment = z.object({
  id: z.string(),
  runId: z.string(),
  round: z.int(),
  attempt: z.int(),
  kind: assignmentKind,
  /** The phase of the collection protocol. Plain rounds have one. */
  stage: z.literal('collect'),
  baseVersion: z.int(),
  checkpoint: z.object({ path: z.string(), sha256: sha256Hex, bytes: z.int() }),
  /** Vectors that the rule sends down with the model, as `name/tensor`; absent where there are none. */
  broadcast: z.object({ path: z.string(), sha256: sha256Hex, bytes: z.int() }).optional(),
  /** Where to PUT the update, or POST the evaluation. */
  uploadPath: z.string(),
  training: trainingConfig,
  /** Seeds the client's shuffling: the same for the same run seed, round and client. */
  seed: z.int(),
  /** Auxiliary vectors that the rule asks this client for, beside the delta. */
  vectors: z.array(z.string()),
  remainingMs: z.int(),
  /**
   * Silent for longer than that (no heartbeat, no progress), the client counts as a drop-out. Absent
   * from coordinators that know no leases.
   */
  leaseMs: z.int().positive().optional(),
});
export type Assignment = z.infer<typeof assignment>;

export const welcome = z.object({
  runId: z.string(),
  clientId: z.string(),
  role,
  status: runStatus,
  /** Version of the newest checkpoint. */
  version: z.int(),
  /** Assignments that are still open for this client: a restart resumes them. */
  assignments: z.array(assignment),
});
export type Welcome = z.infer<typeof welcome>;

export const progress = z.strictObject({
  assignmentId: z.string().max(128),
  /** Share of the local work that is done, 0 to 1. */
  fraction: z.number().min(0).max(1),
  /** Mean training loss so far; shown to operators. */
  loss: z.number().optional(),
});
export type Progress = z.infer<typeof progress>;

/** Renews the lease on an assignment that is being worked on, or whose update is on its way. */
export const heartbeat = z.strictObject({ assignmentId: z.string().max(128) });
export type Heartbeat = z.infer<typeof heartbeat>;

export const decline = z.strictObject({
  assignmentId: z.string().max(128),
  reason: z.string().max(500),
});
export type Decline = z.infer<typeof decline>;

/** The round that an assignment belongs to is over: stop the local work. */
export const closed = z.object({ assignmentId: z.string(), reason: z.string() });
export type Closed = z.infer<typeof closed>;

/** The round committed: the weight that this client's update was given. */
export const weighed = z.object({
  assignmentId: z.string(),
  round: z.int(),
  version: z.int(),
  weight: z.number(),
});
export type Weighed = z.infer<typeof weighed>;

export const runState = z.object({
  status: runStatus,
  round: z.int(),
  rounds: z.int(),
  version: z.int(),
  reason: z.string().optional(),
});
export type RunState = z.infer<typeof runState>;

/** The rule asks this client's oracle: loss and gradient at the parameters behind `path`. */
export const question = z.object({
  id: z.string(),
  path: z.string(),
  sha256: sha256Hex,
  batch: z.int(),
  /** Where to PUT the answer: safetensors with the gradient, `loss` in the metadata. */
  answerPath: z.string(),
  remainingMs: z.int(),
});
export type Question = z.infer<typeof question>;

/**
 * Sent just before the coordinator ends the connection: why. A client comes back only where the error
 * is retryable; `replaced` is not, so that two processes with one token do not throw each other out
 * for ever.
 */
export const goodbye = errorBody;
export type Goodbye = z.infer<typeof goodbye>;

export type Ack<T> = { ok: true; value: T } | { ok: false; error: z.infer<typeof errorBody> };

export interface ClientToServer {
  hello(message: Hello, ack: (answer: Ack<Welcome>) => void): void;
  progress(message: Progress, ack: (answer: Ack<null>) => void): void;
  heartbeat(message: Heartbeat, ack: (answer: Ack<null>) => void): void;
  decline(message: Decline, ack: (answer: Ack<null>) => void): void;
}

export interface ServerToClient {
  assignment(message: Assignment): void;
  closed(message: Closed): void;
  weighed(message: Weighed): void;
  run(message: RunState): void;
  question(message: Question): void;
  goodbye(message: Goodbye): void;
}
