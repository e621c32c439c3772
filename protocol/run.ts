/** A run as its operator writes it (`tributary run create FILE`) and as everybody reads it. */
import { z } from 'zod';
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
  /** Smallest share of the invited cohort that must have been accepted at the deadline. */
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
      /** How long a round waits for so many before it starts with those present, `quorum.min` at least. */
      waitMs: positiveMs.default(30_000),
    })
    .default({ size: 'all', waitMs: 30_000 }),
  quorum: quorum.default({ min: 1, share: 1, required: [] }),
  /** From the invitation to the close of a round. */
  deadlineMs: positiveMs.default(600_000),
  /** How long a client that lost its connection may take to come back to its assignment. */
  graceMs: positiveMs.default(20_000),
  /** A round that missed its quorum is tried again this many times before the run fails. */
  retries: z.int().nonnegative().max(1000).default(3),
  /** Evaluate after every n-th round and after the last; 0 for never. */
  evaluateEvery: z.int().nonnegative().default(1),
  evaluateDeadlineMs: positiveMs.default(120_000),
  /** Keep the updates of committed rounds, for replay. */
  keepUpdates: z.boolean().default(false),
  caps: caps.default({ cohortMax: 4096, deltaMax: 8 }),
  /** The model to start from: a safetensors blob with the task's tensors. */
  init: z.strictObject({ blob: sha256Hex }),
  oracle: oracleSpec.optional(),
});
export type RunSpec = z.infer<typeof runSpec>;
/** A run specification before its defaults are filled in. */
export type RunSpecInput = z.input<typeof runSpec>;

export const runStatus = z.enum(['running', 'completed', 'stopped', 'failed']);
export type RunStatus = z.infer<typeof runStatus>;

export const roundPhase = z.enum([
  'waiting',
  'training',
  'aggregating',
  'evaluating',
  'closed',
  'abandoned',
]);
export type RoundPhase = z.infer<typeof roundPhase>;
