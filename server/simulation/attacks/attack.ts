/**
 * Attacks on a federation: what a client that means harm sends in place of an honest update.
 *
 * Attackers are as strong as the papers assume. They collude, they train on data of their own, and
 * they see every benign update of the round before they send theirs. Their uploads go through the
 * same admission as everybody's.
 *
 * Notation: D an honest update (w_i - w), n the clients of a round, f the attackers among them.
 */
import type { z } from 'zod';
import type { Dataset } from '../../../client/tfjs/dataset.js';
import { TributaryError, parse } from '../../../protocol/errors.js';
import type { RandomStream } from '../../core/random.js';

/** What an attacker knows when it makes its update. All vectors are flat over the shared tensors. */
export interface AttackView {
  /** Benign updates of the round, in client-id order; at least one. */
  readonly benign: readonly Float32Array[];
  /** What training on its own data gave, which the attack may have poisoned. */
  readonly own: Float32Array;
  /** n: clients of the round. */
  readonly clients: number;
  /** f: attackers among them. */
  readonly attackers: number;
  /** For this attacker and round alone. */
  readonly random: RandomStream;
}

/** One attack of the literature. At least one of `poison` and `forge` is there. */
export interface Attack<P> {
  /** Lower case with dashes: `kind` in a simulation file. */
  readonly name: string;
  /** What it does, in one line. */
  readonly summary: string;
  /** Authors, venue, year, title. */
  readonly paper: string;
  readonly parameters: z.ZodType<P>;
  /** The data that an attacker trains on. */
  poison?(data: Dataset, classes: number, parameters: P): Dataset;
  /** The update that an attacker sends, as long as `view.own`. */
  forge?(view: AttackView, parameters: P): Float32Array;
}

export type AnyAttack = Attack<unknown>;

/** An attack with its parameters, on one task. */
export interface BoundAttack {
  readonly name: string;
  readonly parameters: unknown;
  readonly poison: (data: Dataset) => Dataset;
  /** Null where attackers send what training on poisoned data gives. */
  readonly forge: ((view: AttackView) => Float32Array) | null;
}

/**
 * @param classes of the task's labels.
 * @throws TributaryError `bad_request`, naming the parameter that is wrong.
 */
export function bindAttack(attack: AnyAttack, given: unknown, classes: number): BoundAttack {
  const parameters = parse(attack.parameters, given, `attack "${attack.name}"`);
  return {
    name: attack.name,
    parameters,
    poison: (data) => attack.poison?.(data, classes, parameters) ?? data,
    forge: attack.forge ? (view) => checked(attack, view, parameters) : null,
  };
}

/** Admission would refuse it, and the simulation would go on as if nobody had attacked. */
function checked(attack: AnyAttack, view: AttackView, parameters: unknown): Float32Array {
  const update = attack.forge?.(view, parameters) ?? view.own;
  if (update.every(Number.isFinite)) return update;
  throw new TributaryError('not_finite', `attack "${attack.name}": the update is not finite`);
}

/** Mean of the benign updates, and their standard deviation by n, coordinate by coordinate. */
export function benignMoments(benign: readonly Float32Array[]): {
  readonly mean: Float64Array;
  readonly deviation: Float64Array;
} {
  const mean = new Float64Array(benign[0].length);
  for (const update of benign) for (let i = 0; i < mean.length; i++) mean[i] += update[i];
  for (let i = 0; i < mean.length; i++) mean[i] /= benign.length;
  const deviation = new Float64Array(mean.length);
  for (const update of benign) {
    for (let i = 0; i < mean.length; i++) {
      const difference = update[i] - mean[i];
      deviation[i] += difference * difference;
    }
  }
  for (let i = 0; i < mean.length; i++) deviation[i] = Math.sqrt(deviation[i] / benign.length);
  return { mean, deviation };
}
