/** Creating a run: everything that could fail later is checked now, with the reason. */
import { randomUUID } from 'node:crypto';
import { TributaryError, parse } from '../../protocol/errors.js';
import type { RunSpec } from '../../protocol/run.js';
import { runSpec } from '../../protocol/run.js';
import { foldScale } from '../core/kernels/fold.js';
import type { BlobStore, OracleProvider, RuleModules, Store } from '../core/ports.js';
import type { Checkpoint, Run } from '../core/records.js';
import { openRound } from '../core/round.js';
import type { Json } from '../core/rules/rule.js';
import { emptyState } from '../core/rules/rule.js';
import { decodeModel, encodeModel, putBlob, putBroadcast } from './checkpoints.js';
import { checkTraining } from './local-training.js';
import { checkOwnName, loadOwnRule } from './own-rules.js';
import type { RunRule } from './run-rule.js';
import { broadcastOf, composedRule } from './run-rule.js';
import { readVerified, storeAgain } from './verified.js';

/** Weight of one update where neither the run nor the rule states a bound. */
const DEFAULT_WEIGHT_MAX = 2 ** 17;

export interface CreationParts {
  readonly store: Store;
  readonly blobs: BlobStore;
  readonly oracles: OracleProvider;
  readonly ruleModules?: RuleModules;
  /** Runs that may be live at once; no limit if nothing is said. */
  readonly maxRuns?: number;
}

/**
 * @throws TributaryError `bad_request`, `too_many_runs`, `rule_unknown`, `rule_options`, `rule_needs`,
 * `bad_model`.
 */
export async function createRun(
  input: unknown,
  { at: now, by }: { readonly at: number; readonly by: string },
  parts: CreationParts,
): Promise<Run> {
  const parsed = parse(runSpec, input, 'run');
  await checkRoom(parts);
  await takeOwnRule(parsed, parts);
  const rule = composedRule(parsed);
  const spec = completed(parsed, rule);
  checkNeeds(spec, rule);
  checkTraining(spec, rule);
  checkCohort(spec);
  checkEarlyStop(spec);

  const { weightMax = rule.inner.weightMax?.(rule.innerOptions) ?? DEFAULT_WEIGHT_MAX } = spec.caps;
  const run: Run = {
    id: `${spec.name}-${randomUUID().slice(0, 8)}`,
    spec,
    status: 'running',
    reason: null,
    fold: foldScale({ ...spec.caps, weightMax }),
    oracle: rule.needs.oracle ? await parts.oracles.describe({ spec }) : null,
    createdAt: now,
  };
  await parts.oracles.check?.(run);
  const checkpoint = await firstCheckpoint(run, parts.blobs);
  const body = {
    run: run.id,
    name: spec.name,
    rule: spec.rule,
    seed: spec.seed,
    model: checkpoint.sha256,
    by,
  } as Json;
  const event = { at: now, type: 'run-created', body };
  await keepInputs(spec, parts);
  await parts.store.createRun(run, checkpoint, openRound(run.id, 1, 1, 0, now), [event]);
  return run;
}

/** Each live run keeps timers, a rule and a state in memory. As many at once may be over by as many. */
async function checkRoom({ store, maxRuns = Infinity }: CreationParts): Promise<void> {
  const { running = 0, paused = 0 } = await store.countRuns();
  const live = running + paused;
  if (live < maxRuns) return;
  throw new TributaryError(
    'too_many_runs',
    `${live} runs are live, and no more than ${maxRuns} may`,
  );
}

/** A rule of the operator's own, where the run has one: uploaded, loaded, and of a name of its own. */
async function takeOwnRule(spec: RunSpec, { blobs, ruleModules }: CreationParts): Promise<void> {
  const { module } = spec.rule;
  if (module !== undefined && ruleModules) await openUploaded(blobs, module, 'rule.module');
  await loadOwnRule(spec, ruleModules);
  checkOwnName(spec.rule);
}

/** The specification with the options' defaults filled in: what is stored is what was run. */
function completed(spec: RunSpec, rule: RunRule): RunSpec {
  const required = rule.needs.target
    ? [...new Set([...spec.quorum.required, 'target' as const])]
    : spec.quorum.required;
  return {
    ...spec,
    rule: { ...spec.rule, options: rule.innerOptions as Record<string, Json> },
    optimizer: {
      name: spec.optimizer.name,
      options: rule.optimizerOptions as Record<string, Json>,
    },
    after: spec.after.map(({ name }, i) => ({
      name,
      options: rule.afterOptions[i] as Record<string, Json>,
    })),
    quorum: { ...spec.quorum, required },
  };
}

function checkNeeds(spec: RunSpec, { needs, inner, minUpdates }: RunRule): void {
  const refuse = (why: string): never => {
    throw new TributaryError('rule_needs', `the rule "${inner.name}" ${why}`);
  };
  if (needs.oracle && !spec.oracle) refuse('needs an oracle, and the run names none');
  if (needs.oracle && spec.task.model.format !== 'tfjs-layers' && spec.oracle?.kind === 'proxy') {
    refuse('needs an oracle, and a proxy oracle works with tfjs-layers models only');
  }
  const most = largestCohort(spec);
  if (most < minUpdates) refuse(`needs ${minUpdates} updates, and the cohort has ${most}`);
}

/** A quorum that no cohort can reach would fail every round, or keep the run waiting for ever. */
function checkCohort(spec: RunSpec): void {
  const refuse = (why: string): never => {
    throw new TributaryError('bad_request', `run: ${why}`);
  };
  const { cohort, quorum, caps } = spec;
  const most = largestCohort(spec);
  if (cohort.size !== 'all' && cohort.size > caps.cohortMax) {
    refuse(`cohort.size ${cohort.size} is over caps.cohortMax ${caps.cohortMax}`);
  }
  if (most < quorum.min) refuse(`quorum.min is ${quorum.min}, and the cohort has ${most}`);
  if (quorum.required.includes('evaluator')) {
    refuse('quorum.required: an evaluator sends no updates');
  }
  const roles = new Set(quorum.required).size;
  if (most < roles) refuse(`quorum.required names ${roles} roles, and the cohort has ${most}`);
}

function checkEarlyStop({ earlyStop, evaluateEvery }: RunSpec): void {
  if (!earlyStop || evaluateEvery > 0) return;
  const why = 'earlyStop goes by evaluations, and evaluateEvery is 0: set it to 1 or more';
  throw new TributaryError('bad_request', `run: ${why}`, { path: 'evaluateEvery' });
}

function largestCohort({ cohort, caps }: RunSpec): number {
  return cohort.size === 'all' ? caps.cohortMax : cohort.size;
}

async function firstCheckpoint(run: Run, blobs: BlobStore): Promise<Checkpoint> {
  const { tensors } = run.spec.task.model;
  const init = run.spec.init.blob;
  await openUploaded(blobs, init, 'init.blob');
  const bytes = await readVerified(blobs, init, { what: 'run: init.blob' });
  const stored = await putBlob(blobs, encodeModel(decodeModel(bytes, tensors), tensors));
  const broadcast = await putBroadcast(blobs, broadcastOf(run.spec, emptyState), tensors);
  return { runId: run.id, version: 0, ...stored, stateSha256: null, broadcast, collected: false };
}

/**
 * What the run will be read from time and again is stored anew: an upload of days ago, which no run
 * has named so far, may be about to be deleted. That it is whole shows too.
 */
async function keepInputs(
  { rule, oracle }: RunSpec,
  { blobs, ruleModules }: CreationParts,
): Promise<void> {
  // In a simulation the rule is loaded already, and comes from no blob.
  if (rule.module !== undefined && ruleModules)
    await storeAgain(blobs, rule.module, 'run: rule.module');
  if (oracle?.kind === 'proxy') await storeAgain(blobs, oracle.data, 'run: oracle.data');
}

/** What the operator was to upload before. */
async function openUploaded(
  blobs: BlobStore,
  sha256: string,
  path: string,
): ReturnType<BlobStore['open']> {
  try {
    return await blobs.open(sha256);
  } catch (cause) {
    const message = `run: ${path}: no blob ${sha256}: PUT it to /v1/blobs/${sha256} first`;
    throw new TributaryError('bad_request', message, { path }, { cause });
  }
}
