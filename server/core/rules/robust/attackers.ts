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

/** One in five by default: the share that most papers attack with. */
export function attackersBelow(share: number) {
  return attackerCount(share)
    .default(0.2)
    .describe(
      "How many of a round's updates may be anything: a whole number f, or a share: f = floor(share * n).",
    );
}

/** For rules that need more than half of the updates to be honest. */
export const attackersOption = attackersBelow(0.5);

/** f for a round of `count` updates. */
export function assumedAttackers(attackers: number, count: number): number {
  // 0.29 * 100 is 28.999999999999996: without the allowance, one attacker of 29 would be forgotten.
  return Number.isInteger(attackers) ? attackers : Math.floor(attackers * count + 1e-9);
}

/** Enough are n >= perAttacker * f + plus updates. */
export interface CohortNeed {
  readonly perAttacker: number;
  readonly plus: number;
}

/**
 * The number from which on every round is large enough. For a share that is not the least that is:
 * of 7 updates a fifth is 1, of 10 it is 2, and with 4f + 3 the 7 are enough and the 10 are not. A
 * round must not fail because one client more came.
 */
export function enoughUpdates(attackers: number, { perAttacker, plus }: CohortNeed): number {
  const isEnough = (n: number): boolean => n >= perAttacker * assumedAttackers(attackers, n) + plus;
  if (Number.isInteger(attackers)) return perAttacker * attackers + plus;
  let n = Math.ceil(plus / (1 - perAttacker * attackers)) + 1;
  while (n > 1 && isEnough(n - 1)) n--;
  return n;
}

/** What a rule asks of the size of a round, and how to say it. */
export interface CohortCheck<O> {
  enough(options: O): number;
  /** In n and f: `n >= 2f + 3`. */
  readonly condition: string;
}

/** The check for n >= perAttacker * f + plus. */
export function cohortOf(need: CohortNeed): CohortCheck<{ readonly attackers: number }> {
  return {
    enough: ({ attackers }) => enoughUpdates(attackers, need),
    condition: `n >= ${need.perAttacker}f + ${need.plus}`,
  };
}

/**
 * The same rule, refusing rounds that are too small for the attackers that it assumes.
 * Aggregating throws TributaryError `rule_needs` with n, f and what would be enough.
 */
export function withstanding<O extends { readonly attackers?: number | undefined }>(
  rule: AggregationRule<O, UpdateReader[]>,
  check: CohortCheck<O>,
): AggregationRule<O, UpdateReader[]> {
  return {
    ...rule,
    minUpdates: (o) => Math.max(rule.minUpdates(o), check.enough(o)),
    async finish(acc, ctx) {
      const enough = check.enough(ctx.options);
      if (acc.length < enough) refuse(rule.name, acc.length, enough, ctx.options, check.condition);
      return rule.finish(acc, ctx);
    },
  };
}

function refuse(
  rule: string,
  count: number,
  enough: number,
  { attackers = 0 }: { readonly attackers?: number | undefined },
  condition: string,
): never {
  const assumed = assumedAttackers(attackers, count);
  const message = `the rule "${rule}" got n = ${count} updates and assumes f = ${assumed} attackers (attackers: ${attackers}); it needs ${condition}, for which ${enough} updates are always enough: wait for more clients, or assume fewer attackers`;
  throw new TributaryError('rule_needs', message);
}
