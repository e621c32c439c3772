/**
 * The option `attackers` that robust rules share, and the cohorts that are too small for it.
 *
 * f is how many of a round's n updates may be anything at all. No rule finds f out: it has to be
 * assumed, and a rule that is given too few updates for its f promises nothing, so it refuses.
 */
import { z } from 'zod';
import { TributaryError } from '../../../../protocol/errors.js';
import type { AggregationRule, UpdateReader } from '../rule.js';

/** A whole number, or a share. From the share `below` on, no round is large enough. */
export function attackerCount(below = 0.5) {
  const hint = `use a whole number, or a share of the updates between 0 and ${below}`;
  return z.union([z.int().nonnegative(), z.number().gt(0, hint).lt(below, hint)], hint);
}

const MEANING =
  "How many of a round's updates may be anything: a whole number f, or a share: f = floor(share * n).";

/** One in five by default: the share that most papers attack with. */
export function attackersBelow(share: number) {
  return attackerCount(share).default(0.2).describe(MEANING);
}

/** For rules that need more than half of the updates to be honest. */
export const attackersOption = attackersBelow(0.5);

/** For rules that do the same whatever f is: where it is said, rounds too small for it are refused. */
export function attackersIfSaid(below: number) {
  return attackerCount(below)
    .optional()
    .describe(`${MEANING} Rounds that are too small for it are refused; by default none is.`);
}

/** floor(share * count). */
export function floorOfShare(share: number, count: number): number {
  // 0.29 * 100 is 28.999999999999996: without the allowance, one attacker of 29 would be forgotten.
  return Math.floor(share * count + 1e-9);
}

/** f for a round of `count` updates. */
export function assumedAttackers(attackers: number, count: number): number {
  return Number.isInteger(attackers) ? attackers : floorOfShare(attackers, count);
}

/** What a rule asks of the size of a round, and how to say it. */
export interface CohortCheck<O> {
  isEnough(count: number, options: O): boolean;
  /** In n and f: `n >= 2f + 3`. */
  readonly condition: string;
}

export interface Assumed {
  readonly attackers?: number | undefined;
}

/** Enough are n >= perAttacker * f + plus updates. */
export function cohortOf(need: {
  readonly perAttacker: number;
  readonly plus: number;
}): CohortCheck<Assumed> {
  const { perAttacker, plus } = need;
  return {
    isEnough: (n, { attackers = 0 }) => n >= perAttacker * assumedAttackers(attackers, n) + plus,
    condition: `n >= ${perAttacker}f + ${plus}`,
  };
}

/** More than any round has. A share a hair under the limit would be searched for ever. */
const COUNT_MAX = 1_048_576;

/**
 * The least number that is enough, from `least` on. Not every greater one is, for a share: of 7
 * updates a fifth is 1, of 10 it is 2, and with 4f + 3 the 7 are enough and the 10 are not.
 */
export function fewestFor<O>(check: CohortCheck<O>, options: O, least = 1): number {
  let n = least;
  while (n < COUNT_MAX && !check.isEnough(n, options)) n += 1;
  return n;
}

/**
 * The same rule, refusing rounds that are too small for the attackers that it assumes.
 * Aggregating throws TributaryError `rule_needs` with n, f and what would be enough.
 */
export function withstanding<O extends Assumed>(
  rule: AggregationRule<O, UpdateReader[]>,
  check: CohortCheck<O>,
): AggregationRule<O, UpdateReader[]> {
  return {
    ...rule,
    minUpdates: (o) => fewestFor(check, o, rule.minUpdates(o)),
    async finish(acc, ctx) {
      if (!check.isEnough(acc.length, ctx.options)) refuse(rule.name, acc.length, check, ctx);
      return rule.finish(acc, ctx);
    },
  };
}

function refuse<O extends Assumed>(
  rule: string,
  count: number,
  check: CohortCheck<O>,
  { options }: { readonly options: O },
): never {
  const { attackers = 0 } = options;
  const assumed = assumedAttackers(attackers, count);
  const next = fewestFor(check, options, count + 1);
  const message = `the rule "${rule}" got n = ${count} updates and assumes f = ${assumed} attackers (attackers: ${attackers}), and it needs ${check.condition}: wait until ${next} updates are there, or assume fewer attackers`;
  throw new TributaryError('rule_needs', message);
}
