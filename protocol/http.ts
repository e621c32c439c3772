/**
 * REST bodies. Every failure has the body `{ error: ErrorBody, receipt?: Receipt }`.
 *
 * | call | who | body -> answer |
 * |---|---|---|
 * | GET  /healthz, /readyz | anyone | {@link health} |
 * | GET  /v1/rules | anyone | {@link ruleList} |
 * | POST /v1/runs | operator | run specification -> {@link runSummary} |
 * | GET  /v1/runs | operator | {@link runList} |
 * | GET  /v1/runs/:run | operator | {@link runDetail} |
 * | POST /v1/runs/:run/stop | operator | {@link runSummary} |
 * | POST /v1/runs/:run/clients | operator | {@link enrolment} -> {@link enrolled} |
 * | GET  /v1/runs/:run/rounds/:round | operator | {@link roundDetail} |
 * | GET  /v1/runs/:run/events | operator | {@link eventList} |
 * | GET  /v1/me | client | {@link identity} |
 * | GET  /v1/runs/:run/task | operator, client | task |
 * | GET  /v1/runs/:run/checkpoints/:version | operator, client | safetensors |
 * | GET  /v1/runs/:run/checkpoints/:version/broadcast | operator, client | safetensors |
 * | GET  /v1/runs/:run/checkpoints/:version/average | operator | safetensors |
 * | PUT  /v1/blobs/:sha256 | operator | bytes -> {@link blobStored} |
 * | PUT  /v1/assignments/:id/update | client | safetensors -> {@link uploadAnswer} |
 * | GET  /v1/assignments/:id/weight | client | {@link givenWeight} |
 * | POST /v1/assignments/:id/evaluation | client | {@link evaluationReport} -> {@link evaluationTaken} |
 * | GET  /v1/questions/:id/params | client | safetensors |
 * | PUT  /v1/questions/:id/answer | client | safetensors -> {@link evaluationTaken} |
 */
import { z } from 'zod';
import { errorBody } from './errors.js';
import { plainName, sha256Hex } from './model.js';
import { role, roundPhase, runSpec, runStatus } from './run.js';
import { metrics, receipt, receiptStatus } from './update.js';

/** Request header: the sha256 of the body, 64 lower-case hex digits. */
export const SHA256_HEADER = 'x-tributary-sha256';
/** Response header: the version of the checkpoint, for those who asked for the newest. */
export const VERSION_HEADER = 'x-tributary-version';

export const failure = z.object({ error: errorBody, receipt: receipt.optional() });
export const health = z.object({ status: z.literal('ok'), version: z.string() });

/** A rule, a server optimizer or a step after aggregation. */
export const catalogued = z.object({
  name: z.string(),
  /** What it does, in one line. */
  summary: z.string(),
  paper: z.string(),
  /** JSON schema of the options, with their defaults. */
  options: z.record(z.string(), z.json()),
});
export type Catalogued = z.infer<typeof catalogued>;

export const ruleInfo = catalogued.extend({
  family: z.enum(['linear', 'combination', 'coordinate', 'general']),
  /** Stands beside other rules in a comparison, and is no way to federate. */
  control: z.boolean(),
  /** Whether it needs less with its default options. */
  needsVary: z.boolean(),
  /** The most that it may need. */
  needs: z.object({
    oracle: z.boolean(),
    target: z.boolean(),
    vectors: z.array(z.object({ name: z.string(), roles: z.array(role), many: z.boolean() })),
    /** What `train` must return among its metrics. */
    metrics: z.array(z.string()),
  }),
});
export type RuleInfo = z.infer<typeof ruleInfo>;
export const ruleList = z.object({
  rules: z.array(ruleInfo),
  /** Server optimizers, and steps after aggregation (`after`). */
  optimizers: z.array(catalogued),
  steps: z.array(catalogued),
});
export type RuleList = z.infer<typeof ruleList>;

/** Metrics of one evaluation: means over examples, pooled and by site. */
export const evaluation = z.object({
  version: z.int(),
  numExamples: z.int(),
  pooled: metrics,
  sites: z.record(z.string(), z.object({ numExamples: z.int(), metrics })),
});
export type Evaluation = z.infer<typeof evaluation>;

export const runSummary = z.object({
  id: z.string(),
  name: z.string(),
  rule: z.string(),
  status: runStatus,
  reason: z.string().nullable(),
  /** Rounds committed, of `rounds`. */
  round: z.int(),
  rounds: z.int(),
  version: z.int(),
  createdAt: z.iso.datetime(),
});
export type RunSummary = z.infer<typeof runSummary>;
export const runList = z.object({ runs: z.array(runSummary) });

export const roundSummary = z.object({
  round: z.int(),
  attempt: z.int(),
  phase: roundPhase,
  reason: z.string().nullable(),
  invited: z.int(),
  accepted: z.int(),
  rejected: z.int(),
  dropped: z.int(),
  version: z.int().nullable(),
  checkpointSha256: sha256Hex.nullable(),
  /** Bytes of accepted updates. */
  bytes: z.int(),
  diagnostics: z.record(z.string(), z.number()),
  evaluation: evaluation.nullable(),
  openedAt: z.iso.datetime(),
  closedAt: z.iso.datetime().nullable(),
});
export type RoundSummary = z.infer<typeof roundSummary>;

export const clientInfo = z.object({
  id: z.string(),
  role,
  present: z.boolean(),
  /** Share of the open assignment that is done, where the client reported it. */
  progress: z.number().nullable(),
  /** Mean training loss that it reported with its progress. */
  loss: z.number().nullable(),
  /** What it said in its hello; empty and null while it is away. */
  backends: z.array(z.string()),
  sdkVersion: z.string().nullable(),
});
export type ClientInfo = z.infer<typeof clientInfo>;

export const runDetail = runSummary.extend({
  spec: runSpec,
  history: z.array(roundSummary),
  clients: z.array(clientInfo),
  /** What the run is doing at the moment, in words: `waiting for clients: 3 of 8`. */
  now: z.string(),
});
export type RunDetail = z.infer<typeof runDetail>;

export const updateRecord = z.object({
  assignmentId: z.string(),
  clientId: z.string(),
  role,
  kind: z.enum(['train', 'evaluate']),
  state: z.enum(['invited', 'accepted', 'rejected', 'late', 'dropped']),
  receipt: z
    .object({
      status: receiptStatus,
      sha256: sha256Hex,
      code: z.string().nullable(),
      receivedAt: z.iso.datetime(),
    })
    .nullable(),
  bytes: z.int().nullable(),
  numExamples: z.int().nullable(),
  numSteps: z.int().nullable(),
  norm: z.number().nullable(),
  metrics,
  /** Coefficient on this client's delta before the server optimizer; null until the commit. */
  weight: z.number().nullable(),
});
export type UpdateRecord = z.infer<typeof updateRecord>;

export const roundDetail = roundSummary.extend({ updates: z.array(updateRecord) });
export type RoundDetail = z.infer<typeof roundDetail>;

export const enrolment = z.strictObject({ name: plainName, role: role.default('source') });
export const enrolled = z.object({ clientId: z.string(), role, token: z.string() });
export type Enrolled = z.infer<typeof enrolled>;

export const event = z.object({
  seq: z.int(),
  at: z.iso.datetime(),
  type: z.string(),
  body: z.json(),
  prevHash: z.string(),
  hash: z.string(),
});
export const eventList = z.object({ events: z.array(event) });
export type EventList = z.infer<typeof eventList>;

/** Whom a client's token names, and for which run. */
export const identity = z.object({ runId: z.string(), clientId: z.string(), role });
export type Identity = z.infer<typeof identity>;

export const blobStored = z.object({ sha256: sha256Hex, bytes: z.int() });
export const uploadAnswer = z.object({ receipt });
export const evaluationTaken = z.object({ taken: z.boolean() });
export const givenWeight = z.object({
  /** What a commit gave the update of this assignment; null where none counted it, or none yet. */
  weight: z.number().nullable(),
  /**
   * Of the upload that has the assignment's receipt; null where there is none. A client that trained
   * twice, since it died in between, learns here which of its uploads is meant.
   */
  sha256: sha256Hex.nullable(),
});
export type GivenWeight = z.infer<typeof givenWeight>;
