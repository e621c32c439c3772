/** A run as its operator writes it (`tributary run create FILE`) and as everybody reads it. */
import { z } from 'zod';
import { metricName } from './metrics.js';
import { plainName, sha256Hex, task, trainingConfig, trainingOverride } from './model.js';

/** `source` and `target` train; `evaluator` only evaluates. Fixed by the token, never self-declared. */
export const role = z.enum(['source', 'target', 'evaluator']);
export type Role = z.infer<typeof role>;

const DAY_MS = 86_400_000;
/** A month at most: a deadline that a date cannot hold would keep a run from ever beginning. */
const positiveMs = z
  .int()
  .positive()
  .max(30 * DAY_MS);

export const quorum = z.strictObject({
  /** Fewest accepted updates that a round may commit with. */
  min: z.int().positive().default(1),
  /**
   * Smallest share of the updates wanted (`cohort.size`, or everybody invited) that must have been
   * accepted at the deadline.
   */
  share: z.number().min(0).max(1).default(1),
  /** Roles of which every invited client must be among the accepted. */
  required: z.array(role).default([]),
});
export type Quorum = z.infer<typeof quorum>;

/** Upper bounds that fix the scale of the exact fold; checked before a receipt is given. */
export const caps = z.strictObject({
  cohortMax: z.int().min(1).max(65536).default(4096),
  /** Greatest weight of one update; by default what the rule states. */
  weightMax: z
    .number()
    .positive()
    .max(2 ** 40)
    .optional(),
  /** Greatest absolute value in an update's vectors. */
  deltaMax: z
    .number()
    .positive()
    .max(2 ** 20)
    .default(8),
  /** Examples that count for one update at most; what is reported above it is flagged. */
  examplesMax: z.int().positive().optional(),
});

export const named = z.strictObject({
  name: plainName,
  options: z.record(z.string(), z.json()).default({}),
});

/** A rule of the registry by its name, or one of the operator's own. */
export const ruleSpec = named.extend({
  /** A blob with the rule's module: ESM, everything but `tributary-fl` and `zod` bundled in. */
  module: sha256Hex.optional(),
});

/** Where a rule that `needs` an oracle gets loss and gradient from. */
export const oracleSpec = z.discriminatedUnion('kind', [
  z.strictObject({
    /** A proxy set that the operator uploads: safetensors with `x` and `y`. */
    kind: z.literal('proxy'),
    data: sha256Hex,
    batchSize: z.int().positive().default(128),
  }),
  z.strictObject({
    /** The validation set of the target client, which answers over the protocol. */
    kind: z.literal('client'),
    timeoutMs: positiveMs.default(60_000),
  }),
]);
export type OracleSpec = z.infer<typeof oracleSpec>;

/** Who may take part. */
export const joinPolicy = z.enum([
  /** Whoever reaches the coordinator: a client enrols itself. */
  'open',
  /** Whoever has a token from the operator. */
  'token',
  /** Whom an operator has approved by name; nothing is sent to anybody else. */
  'approved',
]);
export type JoinPolicy = z.infer<typeof joinPolicy>;

/** Ends a run that no longer gets better, by a pooled metric of its evaluations. */
export const earlyStop = z.strictObject({
  metric: metricName,
  /** Evaluations in a row without a better value. */
  patience: z.int().positive(),
  /** Whether less or more is better; by default less for `loss` and more for anything else. */
  mode: z.enum(['min', 'max']).optional(),
  /** By how much a value must be better to count. */
  minDelta: z.number().nonnegative().default(0),
});
export type EarlyStop = z.infer<typeof earlyStop>;

export const runSpec = z.strictObject({
  name: plainName,
  task,
  rule: ruleSpec,
  /** Moves the model by the aggregate; `sgd` with eta 1 adds it as it is. */
  optimizer: named.default({ name: 'sgd', options: {} }),
  /** Steps after aggregation, in this order: `ema`, `bcwi`. */
  after: z.array(named).max(8).default([]),
  seed: z.int().min(0).max(0xffffffff).default(0),
  rounds: z.int().positive().max(1_000_000),
  training: trainingConfig.default(trainingConfig.parse({})),
  /** What differs for one role, e.g. `{ target: { batchSize: 4 } }`. */
  trainingByRole: z.partialRecord(role, trainingOverride).default({}),
  cohort: z
    .strictObject({
      /** Clients invited to a round, drawn by seed; `all`: everybody enrolled that trains. */
      size: z.union([z.int().positive(), z.literal('all')]).default('all'),
      /**
       * So many times `size` are invited, and the first `size` updates close the round: stragglers
       * and drop-outs do not hold it up. 1 where the same clients must count each time. Nothing is
       * added to `all`.
       */
      overSelection: z.number().min(1).max(10).default(1.3),
      /**
       * How long a round waits for so many before it starts with those present, `quorum.min` at least.
       * Counted anew when a coordinator starts: its clients are still on their way back.
       */
      waitMs: positiveMs.default(30_000),
    })
    .default({ size: 'all', overSelection: 1.3, waitMs: 30_000 }),
  quorum: quorum.default({ min: 1, share: 1, required: [] }),
  /** From the invitation to the close of a round. */
  deadlineMs: positiveMs.default(600_000),
  /** How long a client that lost its connection may take to come back to its assignment. */
  graceMs: positiveMs.default(20_000),
  /**
   * How long a client may be silent about its assignment (no heartbeat, no progress) before it counts
   * as a drop-out. Browsers let hidden tabs speak once a minute.
   */
  leaseMs: positiveMs.default(120_000),
  /** A round that missed its quorum is tried again this many times before the run fails. */
  retries: z.int().nonnegative().max(1000).default(3),
  /** Evaluate after every n-th round and after the last; 0 for never. */
  evaluateEvery: z.int().nonnegative().default(1),
  evaluateDeadlineMs: positiveMs.default(120_000),
  earlyStop: earlyStop.optional(),
  join: joinPolicy.default('token'),
  /** Keep the updates of committed rounds, for replay. */
  keepUpdates: z.boolean().default(false),
  /**
   * Models that are kept beside the first: the newest so many. State and vectors of the rule are kept
   * for the newest only, unless `keepUpdates` asks for everything that a replay needs.
   */
  keepCheckpoints: z.union([z.int().positive(), z.literal('all')]).default(100),
  caps: caps.default({ cohortMax: 4096, deltaMax: 8 }),
  /** The model to start from: a safetensors blob with the task's tensors. */
  init: z.strictObject({ blob: sha256Hex }),
  oracle: oracleSpec.optional(),
});
export type RunSpec = z.infer<typeof runSpec>;
/** A run specification before its defaults are filled in. */
export type RunSpecInput = z.input<typeof runSpec>;

/** `paused`: the round under way ends as ever, and no other begins until the run is resumed. */
export const runStatus = z.enum(['running', 'paused', 'completed', 'stopped', 'failed']);
export type RunStatus = z.infer<typeof runStatus>;

/** Of a run that may still go on. */
export type LiveStatus = Extract<RunStatus, 'running' | 'paused'>;

export function isLive(status: RunStatus): status is LiveStatus {
  return status === 'running' || status === 'paused';
}

export const roundPhase = z.enum([
  'waiting',
  'training',
  'aggregating',
  'evaluating',
  'closed',
  'abandoned',
]);
export type RoundPhase = z.infer<typeof roundPhase>;
