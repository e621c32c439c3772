/**
 * Calls that end. Most of a rule runs where the round is aggregated, but admission asks for a weight
 * while clients wait, and a loop without end there would stop the coordinator.
 */
import { Script } from 'node:vm';
import { TributaryError } from '../../../protocol/errors.js';
import type { AnyRule } from '../../core/rules/rule.js';

/** Far more than a formula over a few numbers takes, on a machine that is busy. */
const CALL_MS = 2000;

const CALL = Symbol.for('tributary-fl.guarded-call');
const scope = globalThis as { [CALL]?: () => unknown };
const script = new Script(`globalThis[Symbol.for('tributary-fl.guarded-call')]()`);

/**
 * What `call` gives, or an error after `ms` milliseconds: V8 ends what a script with a timeout has
 * called, wherever that was defined. It must be synchronous.
 *
 * @throws TributaryError `internal` where it took longer; whatever `call` throws.
 */
export function withinTime<T>(call: () => T, what: string, ms = CALL_MS): T {
  const outer = scope[CALL];
  scope[CALL] = call;
  try {
    return script.runInThisContext({ timeout: ms }) as T;
  } catch (error) {
    if (!isTimeout(error)) throw error;
    throw new TributaryError('internal', `${what} took more than ${ms} ms`);
  } finally {
    scope[CALL] = outer;
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}

/** The same rule; what the coordinator asks of it outside of an aggregation ends. */
export function guarded(rule: AnyRule): AnyRule {
  const ends = <A extends unknown[], R>(name: string, method: (...args: A) => R) => {
    const what = `"${name}" of the rule "${rule.name}"`;
    return (...args: A): R => withinTime(() => method(...args), what);
  };
  return {
    ...rule,
    // By name, for a rule that is an instance of a class: a spread leaves behind what the class has,
    // methods and accessors. Whoever went by `needs` would then find a rule that needs nothing.
    ...described(rule),
    begin: (ctx) => rule.begin(ctx),
    accumulate: (acc, update, ctx) => rule.accumulate(acc, update, ctx),
    finish: (acc, ctx) => rule.finish(acc, ctx),
    minUpdates: ends('minUpdates', (options) => rule.minUpdates(options)),
    ...(rule.needed && { needed: ends('needed', rule.needed.bind(rule)) }),
    ...(rule.training && { training: ends('training', rule.training.bind(rule)) }),
    ...(rule.weightMax && { weightMax: ends('weightMax', rule.weightMax.bind(rule)) }),
    ...(rule.weightOf && { weightOf: ends('weigh', rule.weightOf.bind(rule)) }),
    ...(rule.broadcast && { broadcast: ends('broadcast', rule.broadcast.bind(rule)) }),
  };
}

function described({ name, paper, summary, family, needs, options, control }: AnyRule) {
  return {
    ...{ name, paper, family, needs, options },
    ...(summary !== undefined && { summary }),
    ...(control && { control }),
  };
}
