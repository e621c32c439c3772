/**
 * Aggregation rules: the general interface that everything else in the coordinator talks to.
 *
 * Almost nobody implements it directly. A rule is written with one of the three families
 * (`linearRule`, `combinationRule`, `coordinateRule`), which say how much each client counts and
 * leave the arithmetic to the engine.
 *
 * Notation, as in the literature: w the previous global parameters, D_i an update's delta
 * (w_i - w), n_i its examples, K the number of updates.
 */
import type { z } from 'zod';
import type { TrainingConfig } from '../../../protocol/model.js';
import type { Role } from '../../../protocol/run.js';
import type { Metrics } from '../../../protocol/metrics.js';
import type { FoldScale, Kernels } from '../kernels/kernels.js';
import type { Layout } from '../layout.js';
import type { LossOracle } from '../ports.js';

export type ClientId = string;
export type Json = z.infer<ReturnType<typeof z.json>>;

/** Named vectors in float64, as long as the state that they hold. */
export type Tensors = Readonly<Record<string, Float64Array>>;

/** What a rule or optimizer carries from round to round. Plain data, saved with the checkpoint. */
export interface RuleState {
  readonly tensors: Tensors;
  readonly values: Readonly<Record<string, Json>>;
}

export const emptyState: RuleState = { tensors: {}, values: {} };

/** All that is known of an update without reading its vectors. */
export interface UpdateFacts {
  readonly clientId: ClientId;
  readonly role: Role;
  readonly numExamples: number;
  readonly numSteps: number;
  readonly metrics: Metrics;
  /** Euclidean norm of the delta over shared tensors. */
  readonly norm: number;
  /** Greatest absolute value over the delta. */
  readonly maxAbs: number;
  readonly baseVersion: number;
  /** Versions committed since `baseVersion`; 0 in synchronous rounds. */
  readonly staleness: number;
}

/** Only the facts of an update, whatever else it is. */
export function plainFacts(update: UpdateFacts): UpdateFacts {
  const { clientId, role, numExamples, numSteps, metrics, norm, maxAbs } = update;
  const { baseVersion, staleness } = update;
  return { clientId, role, numExamples, numSteps, metrics, norm, maxAbs, baseVersion, staleness };
}

/** An update whose vectors are read in tiles, so that memory does not grow with the cohort. */
export interface UpdateReader extends UpdateFacts {
  /** `delta`, and the auxiliary vectors that came with it. */
  readonly vectors: readonly string[];
  /** Elements `start` to `start + length` of one flat vector. */
  read(vector: string, start: number, length: number): Promise<Float32Array>;
  /** The same, all of `out`, without an array in between. @throws where there are fewer elements. */
  readInto?(vector: string, start: number, out: Float32Array): Promise<void>;
}

/** An auxiliary vector, or a family of them (`name.0`, `name.1`, …), that clients must send. */
export interface VectorNeed {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly many: boolean;
  /** Fewest members of a family that the rule can work with; 1 if nothing is said. */
  readonly fewest?: number;
  /**
   * A measure of every parameter, as Fisher information is: admission refuses negative values, and
   * lets them be of any size (`caps.deltaMax` is about what is folded).
   */
  readonly measure?: true;
}

/** What a rule cannot do without. A run that cannot provide it is refused when it is created. */
export interface Needs {
  /** Loss and gradient on proxy or target data. */
  readonly oracle?: true;
  /** Exactly one client with the role `target` in every round. */
  readonly target?: true;
  readonly vectors?: readonly VectorNeed[];
  /** Metrics that every update must report. Admission refuses an update without them. */
  readonly metrics?: readonly string[];
}

/** An update, and how much one of its vectors counts. */
export interface WeightedUpdate {
  readonly update: UpdateReader;
  readonly weight: number;
}

/**
 * Adds a vector of every update, times its weight, to `terms` by the exact fold. It may add to them
 * from several threads at once: a fold leaves no trace of who did it.
 */
export type FoldVector = (
  terms: BigInt64Array,
  vector: string,
  updates: readonly WeightedUpdate[],
) => Promise<void>;

/** What a rule is told about the round. */
export interface RuleContext<O> {
  readonly options: O;
  /** Counted from 1. */
  readonly round: number;
  /** Clients enrolled in the run that train: N of SCAFFOLD and FedDyn. */
  readonly numClients: number;
  /** w, flat over the shared tensors. */
  readonly model: Float32Array;
  readonly layout: Layout;
  /** The state that this rule returned in the round before; empty in the first. */
  readonly state: RuleState;
  readonly fold: FoldScale;
  readonly kernels: Kernels;
  /** Where there are more threads than the rule's own. */
  readonly foldVector?: FoldVector;
  /** Present exactly where the rule's needs say so. */
  readonly oracle: LossOracle | null;
}

/**
 * The coefficients that a rule chose: new = model * w + sum_i updates[clientId] * D_i.
 * One number each, or one for each tensor of the layout.
 */
export interface Coefficients {
  readonly model: number | readonly number[];
  /** In the order of the updates, which is client-id order. */
  readonly updates: readonly (number | readonly number[])[];
}

/** What a round's aggregation yields. */
export interface Outcome {
  /**
   * The change of the shared parameters before the server optimizer. Float64: the one rounding to
   * float32 happens when it is applied (docs/decisions/0001).
   */
  readonly delta: Float64Array;
  readonly state: RuleState;
  /**
   * Weight given: the coefficient on each client's delta before the optimizer; with one row a
   * tensor, the mean over parameters; for coordinate rules, the share of coordinates taken from it.
   */
  readonly weights: Readonly<Record<ClientId, number>>;
  /** What a combination rule chose, before it was applied. */
  readonly coefficients?: Coefficients;
  /** Numbers worth plotting over the rounds. */
  readonly diagnostics: Readonly<Record<string, number>>;
  /** Square tables worth looking at, rows and columns in client-id order. */
  readonly matrices?: Readonly<Record<string, readonly (readonly number[])[]>>;
}

/** How a rule is catalogued; the same for every family. */
export interface RuleDescription<O> {
  /** As in the literature, lower case with dashes: the name that a run asks for. */
  readonly name: string;
  /** What it does, in one line of at most 90 characters. */
  readonly summary?: string;
  /** Authors, venue, year, title. */
  readonly paper: string;
  /** Stands beside other rules in a comparison and is no way to federate: what they must beat. */
  readonly control?: true;
  /** Parses the run's options and fills in the defaults. */
  readonly options: z.ZodType<O>;
}

export interface AggregationRule<O, Acc> extends RuleDescription<O> {
  readonly family: 'linear' | 'combination' | 'coordinate' | 'general';
  /** The most that the rule may need, whatever its options. */
  readonly needs: Needs;
  /** What it needs under these options, where that is less. */
  needed?(options: O): Needs;
  /** Fewest updates that the rule can work with. */
  minUpdates(options: O): number;
  /** What it asks of the local training, where its half at the client needs it (FedProx's mu). */
  training?(options: O): Partial<TrainingConfig>;
  /** Greatest weight of one update in the exact fold; undefined for rules that do not fold. */
  weightMax?(options: O): number;
  /** The weight that an update would get in the exact fold: admission holds it against the cap. */
  weightOf?(facts: UpdateFacts, options: O, state: RuleState): number;
  begin(ctx: RuleContext<O>): Acc;
  /** May be called in any order of arrival. */
  accumulate(acc: Acc, update: UpdateReader, ctx: RuleContext<O>): Promise<void>;
  finish(acc: Acc, ctx: RuleContext<O>): Promise<Outcome>;
  /** Vectors over the shared tensors that go down with the checkpoint: SCAFFOLD's control variate. */
  broadcast?(state: RuleState): Tensors;
}

/** A rule whose types of options and accumulator are its own affair. */
export type AnyRule = AggregationRule<unknown, unknown>;
