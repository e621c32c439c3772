/** A simulation file as it is written: who has which data, who attacks, which rules are compared. */
import { z } from 'zod';
import { trainingConfig } from '../../protocol/model.js';
import { caps, named, ruleSpec } from '../../protocol/run.js';
import { partition } from './dealing.js';
import { taskNames } from './problems.js';

/** A rule with options, or just its name; the same for optimizers and steps. */
const nameOr = <T extends z.ZodType>(schema: T): z.ZodPreprocess<T> =>
  z.preprocess((given) => (typeof given === 'string' ? { name: given } : given), schema);

const training = z.strictObject(trainingConfig.partial().shape);

const simulatedRule = ruleSpec.extend({
  /** In tables; by default the rule's name, with the optimizer's where there is one. */
  label: z.string().min(1).max(40).optional(),
  optimizer: nameOr(named).optional(),
  after: z.array(nameOr(named)).default([]),
  /** What this rule trains otherwise than the others. */
  training: training.default({}),
});
export type SimulatedRule = z.infer<typeof simulatedRule>;

/** `kind`, `share`, and the attack's own parameters. */
const attack = z.looseObject({
  kind: z.string(),
  /** Attackers' share of the clients. */
  share: z.number().gt(0).lt(1),
});

const seedNumber = z.int().min(0).max(0xffffffff);

export const simulationFile = z
  .strictObject({
    title: z.string().max(200).optional(),
    task: z.enum(taskNames),
    clients: z.int().positive().max(10_000).default(10),
    partition: partition.default({ kind: 'iid' }),
    attack: attack.nullable().default(null),
    /** One rule, or several beside each other. */
    rule: nameOr(simulatedRule).optional(),
    rules: z.array(nameOr(simulatedRule)).min(1).optional(),
    training: training.default({}),
    trainingByRole: z.partialRecord(z.enum(['source', 'target']), training).default({}),
    rounds: z.int().positive().max(100_000).default(10),
    /** How many, from 1; or which. */
    seeds: z
      .union([z.int().positive().max(1000), z.array(seedNumber).min(1)])
      .default(1)
      .transform((seeds) =>
        typeof seeds === 'number' ? Array.from({ length: seeds }, (_, i) => i + 1) : seeds,
      ),
    /** Clients of a round, drawn by seed; by default all. */
    cohort: z.union([z.int().positive(), z.literal('all')]).default('all'),
    /** Held-out examples, where the task does not say which. */
    test: z.int().positive().default(2000),
    /** Examples for the rules that need an oracle. */
    proxy: z.int().nonnegative().default(0),
    evaluateEvery: z.int().positive().default(1),
    /** By default wide enough that rules are tested, and not admission. */
    caps: caps.partial().default({}),
  })
  .refine((file) => (file.rule === undefined) !== (file.rules === undefined), {
    message: 'give either "rule" or "rules"',
    path: ['rule'],
  });
/** A simulation as it is written. */
export type SimulationInput = z.input<typeof simulationFile>;
export type Simulation = z.infer<typeof simulationFile>;
