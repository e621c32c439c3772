/** What every rule has to keep, and what most rules keep, each tried on rounds in memory. */
import { createMemoryBlobStore } from '../../../adapters/blob-memory.js';
import { newKernels } from '../../../adapters/kernels.js';
import { applyDelta } from '../../../core/apply.js';
import { foldScale } from '../../../core/kernels/fold.js';
import { needsOf } from '../../../core/rules/index.js';
import type { AnyRule, Outcome, RuleContext, UpdateReader } from '../../../core/rules/rule.js';
import { emptyState } from '../../../core/rules/rule.js';
import { putBroadcast } from '../../../engine/checkpoints.js';
import { loadState, putState } from '../../../engine/states.js';
import { cohort, drawn, layout, oracle, tensors } from './cohort.js';

export interface Finding {
  readonly what: string;
  readonly holds: boolean;
  /** False for what a rule may leave behind on purpose. */
  readonly required: boolean;
  /** Why not. */
  readonly why?: string;
}

/** Relative; equal updates go through float32 and the fold's fixed point. */
const TOLERANCE = 1e-5;
const WEIGHT_MAX = 2 ** 17;

/** A problem, or null where there is none. */
type Check = (rule: AnyRule, options: unknown) => Promise<string | null>;

const required: Readonly<Record<string, Check>> = {
  'gives the same bits when it runs again': async (rule, options) => {
    const [a, b] = [await aggregated(rule, options), await aggregated(rule, options)];
    return differs(a, b) && 'it keeps something in a variable, or draws by chance';
  },
  'gives the same bits for any order of arrival': async (rule, options) => {
    const updates = cohort({ needs: needsOf(rule, options) });
    const forwards = await aggregated(rule, options, updates);
    return differs(forwards, await aggregated(rule, options, [...updates].reverse()));
  },
  'gives every client a finite weight': async (rule, options) => {
    const updates = cohort({ needs: needsOf(rule, options) });
    const { weights } = await aggregated(rule, options, updates);
    const without = updates.find(({ clientId }) => !Number.isFinite(weights[clientId]));
    return without ? `${without.clientId} has ${weights[without.clientId]}` : null;
  },
  'goes on from the state that it returned': async (rule, options) => {
    const { state } = await aggregated(rule, options);
    const blobs = createMemoryBlobStore();
    // As a checkpoint brings it back, and with what goes down beside it.
    const stored = await loadState(blobs, await putState(blobs, state));
    await putBroadcast(blobs, rule.broadcast?.(stored) ?? {}, tensors);
    await aggregated(rule, options, undefined, { state: stored, round: 2 });
    return null;
  },
};

const common: Readonly<Record<string, Check>> = {
  'leaves the model where no client moved': async (rule, options) => {
    const still = cohort({ needs: needsOf(rule, options), deltaOf: () => drawn(0, 'still') });
    const { delta } = await aggregated(rule, options, still);
    return delta.some((d) => d !== 0) ? `parameter ${delta.findIndex((d) => d !== 0)} moved` : null;
  },
  'adds a change that all clients agree on': async (rule, options) => {
    const change = drawn(0.5, 'agreed');
    const agreed = cohort({ needs: needsOf(rule, options), deltaOf: () => change });
    const { delta } = await aggregated(rule, options, agreed);
    const at = delta.findIndex((d, i) => Math.abs(d - change[i]) > TOLERANCE * Math.abs(change[i]));
    return at < 0 ? null : `parameter ${at} moved by ${delta[at]}, all clients by ${change[at]}`;
  },
  'counts the same where everybody has ten times the examples': async (rule, options) => {
    const needs = needsOf(rule, options);
    const a = await aggregated(rule, options, cohort({ needs }));
    const b = await aggregated(rule, options, cohort({ needs, examplesTimes: 10 }));
    const ids = Object.keys(a.weights);
    const other = ids.find((id) => !isNear(a.weights[id], b.weights[id]));
    return other ? `${other} has ${a.weights[other]}, then ${b.weights[other]}` : null;
  },
};

/** Tries a rule under options that were parsed. What it throws is a finding too. */
export async function findings(rule: AnyRule, options: unknown): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const [checks, isRequired] of [
    [required, true],
    [common, false],
  ] as const) {
    for (const [what, check] of Object.entries(checks)) {
      const why = await check(rule, options).catch(reasonOf);
      found.push({ what, holds: why === null, required: isRequired, ...(why !== null && { why }) });
    }
  }
  return found;
}

async function aggregated(
  rule: AnyRule,
  options: unknown,
  updates: readonly UpdateReader[] = cohort({ needs: needsOf(rule, options) }),
  more: Partial<RuleContext<unknown>> = {},
): Promise<Outcome> {
  const weightMax = rule.weightMax?.(options) ?? WEIGHT_MAX;
  const ctx: RuleContext<unknown> = {
    options,
    round: 1,
    numClients: updates.length,
    model: drawn(1, 'model'),
    layout,
    state: emptyState,
    fold: foldScale({ cohortMax: 64, weightMax, deltaMax: 8 }),
    kernels: newKernels(),
    oracle: needsOf(rule, options).oracle ? oracle : null,
    ...more,
  };
  const acc = rule.begin(ctx);
  for (const update of updates) await rule.accumulate(acc, update, ctx);
  const outcome = await rule.finish(acc, ctx);
  // Refuses what a round would refuse: another size, and numbers that are none.
  applyDelta(ctx.model, outcome.delta);
  return outcome;
}

function differs(a: Outcome, b: Outcome): string | null {
  const at = a.delta.findIndex((d, i) => !Object.is(d, b.delta[i]));
  return at < 0 ? null : `parameter ${at} moved by ${a.delta[at]}, then by ${b.delta[at]}`;
}

function isNear(a: number, b: number): boolean {
  return Math.abs(a - b) <= TOLERANCE * Math.max(Math.abs(a), Math.abs(b));
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
