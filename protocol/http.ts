/**
 * REST bodies. Every failure has the body `{ error: ErrorBody, receipt?: Receipt }`.
 *
 * Every call, who may make it, and what it answers: protocol/api.ts, and docs/openapi.json made of it.
 */
import { z } from 'zod';
import { errorBody } from './errors.js';
import { plainName, sha256Hex, trainingConfig } from './model.js';
import { joinPolicy, role, roundPhase, runSpec, runStatus } from './run.js';
import { metrics } from './metrics.js';
import { receipt, receiptStatus } from './update.js';

/** Request header: the sha256 of the body, 64 lower-case hex digits. */
export const SHA256_HEADER = 'x-tributary-sha256';
/**
 * Request header: what the request is called in the logs of both sides; 1 to 64 letters, digits, dots,
 * dashes, underscores. For an upload it begins with its assignment's id, which the ledger names too.
 */
export const REQUEST_ID_HEADER = 'x-request-id';
/** Response header: the version of the checkpoint, for those who asked for the newest. */
export const VERSION_HEADER = 'x-tributary-version';

/** Most entries of one answer that comes in pages, whatever is asked for: of a ledger, of a run's rounds. */
export const MAX_PAGE = 100;

export const failure = z.object({ error: errorBody, receipt: receipt.optional() });
export const health = z.object({ status: z.literal('ok'), version: z.string() });
/** What a coordinator that can work found when it looked. Where it cannot, the error's details say. */
export const readiness = health.extend({
  checks: z.object({ database: z.string(), storage: z.string(), leadership: z.string() }),
});
export type Readiness = z.infer<typeof readiness>;

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

/** `pending`: enrolled where sites are approved, and not approved yet. */
export const clientState = z.enum(['pending', 'approved', 'revoked']);
export type ClientState = z.infer<typeof clientState>;

export const clientInfo = z.object({
  id: z.string(),
  role,
  state: clientState,
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
  /** A page of the rounds, oldest first, every attempt; the newest ones if nothing else was asked. */
  history: z.array(roundSummary),
  /** The place of the first in `history` among all, from 1. */
  historyFrom: z.int(),
  /** How many there are in all, every attempt. */
  roundsInAll: z.int(),
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
  /** What is odd about it, in words; it counted all the same. */
  flags: z.array(z.string()),
  /** Coefficient on this client's delta before the server optimizer; null until the commit. */
  weight: z.number().nullable(),
});
export type UpdateRecord = z.infer<typeof updateRecord>;

export const roundDetail = roundSummary.extend({ updates: z.array(updateRecord) });
export type RoundDetail = z.infer<typeof roundDetail>;

/** How long a token is good for; without it, until it is revoked. At most ten years. */
const expiresInMs = z
  .int()
  .positive()
  .max(10 * 366 * 86_400_000)
  .optional();

export const enrolment = z.strictObject({
  name: plainName,
  role: role.default('source'),
  expiresInMs,
});
export type Enrolment = z.input<typeof enrolment>;
export const enrolled = z.object({
  clientId: z.string(),
  role,
  token: z.string(),
  state: clientState,
  tokenExpiresAt: z.iso.datetime().nullable(),
});
export type Enrolled = z.infer<typeof enrolled>;

/** A client that enrols itself, as a `source`; without a name it is given one. */
export const joining = z.strictObject({
  name: plainName.optional(),
  /**
   * 256 random bits of the client's own. The same call again brings the same client and its token: an
   * answer that was lost would else leave a name that nobody has the token of.
   */
  key: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'use 64 lower-case hex digits, drawn at random')
    .optional(),
});
export const rotation = z.strictObject({ expiresInMs });

/** A client of a run as operators manage it: the commands call it a site. */
export const siteInfo = z.object({
  id: z.string(),
  role,
  state: clientState,
  present: z.boolean(),
  enrolledAt: z.iso.datetime(),
  tokenExpiresAt: z.iso.datetime().nullable(),
});
export type SiteInfo = z.infer<typeof siteInfo>;
export const clientList = z.object({ clients: z.array(siteInfo) });

/** `viewer` reads, `operator` also runs, `admin` also manages operators. */
export const operatorRole = z.enum(['viewer', 'operator', 'admin']);
export type OperatorRole = z.infer<typeof operatorRole>;
export const newOperator = z.strictObject({ name: plainName, role: operatorRole, expiresInMs });
export const operatorInfo = z.object({
  name: z.string(),
  role: operatorRole,
  createdAt: z.iso.datetime(),
  tokenExpiresAt: z.iso.datetime().nullable(),
  revoked: z.boolean(),
});
export type OperatorInfo = z.infer<typeof operatorInfo>;
export const operatorList = z.object({ operators: z.array(operatorInfo) });
/** Shown once. */
export const operatorToken = operatorInfo.extend({ token: z.string() });
export type OperatorToken = z.infer<typeof operatorToken>;

export const event = z.object({
  seq: z.int(),
  at: z.iso.datetime(),
  type: z.string(),
  body: z.json(),
  prevHash: z.string(),
  hash: z.string(),
  /** Ed25519 over the bytes of `hash` as text, base64; null for events before there was a key. */
  signature: z.string().nullable(),
  /** The key that signed: the first 16 hex digits of its sha256. */
  keyId: z.string().nullable(),
});
/** Public half of the key that this coordinator signs its ledgers with: DER (SPKI) in base64. */
export const ledgerKey = z.object({ keyId: z.string(), publicKey: z.string() });
export type LedgerKey = z.infer<typeof ledgerKey>;
export const eventList = z.object({ events: z.array(event) });
export type EventList = z.infer<typeof eventList>;

/** Whom a client's token names, and for which run. */
export const identity = z.object({ runId: z.string(), clientId: z.string(), role });
export type Identity = z.infer<typeof identity>;

/** What a run asks of one client, for its site to judge before anything is done. */
export const plan = z.object({
  runId: z.string(),
  name: z.string(),
  role,
  /** As the operator wrote it; `module` is the sha256 of a rule of the operator's own. */
  rule: z.object({
    name: z.string(),
    options: z.record(z.string(), z.json()),
    module: sha256Hex.nullable(),
  }),
  rounds: z.int(),
  join: joinPolicy,
  /** Whether updates are kept after their round, to be replayed under other rules. */
  keepUpdates: z.boolean(),
  /** Of this client, in every round. */
  training: trainingConfig,
  /** Vectors beside the delta; `many`: a family, with a member for each batch, say. */
  vectors: z.array(z.object({ name: z.string(), many: z.boolean() })),
  /** What the rule cannot do without among the metrics of an update. */
  metrics: z.array(z.string()),
  /** Whether the rule asks this client for loss and gradient on its data, beside training. */
  answers: z.boolean(),
});
export type Plan = z.infer<typeof plan>;

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
