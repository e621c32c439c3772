/** From the accepted updates of a round to the next checkpoint. Reads and writes blobs only. */
import { DELTA } from '../../protocol/update.js';
import { applyDelta } from '../core/apply.js';
import {
  emptyContribution,
  finishFold,
  foldScale,
  foldTile,
  weightTerm,
} from '../core/kernels/fold.js';
import type { Kernels } from '../core/kernels/kernels.js';
import type { Layout } from '../core/layout.js';
import { layoutOf, tiles } from '../core/layout.js';
import type { BlobStore, OracleProvider, RuleModules } from '../core/ports.js';
import type { AssignmentRecord, Checkpoint, RoundChanges, Run } from '../core/records.js';
import type { Round } from '../core/round.js';
import { weightGiven } from '../core/rules/diagnostics.js';
import type { ClientId, Outcome, UpdateFacts } from '../core/rules/rule.js';
import { MAX_EXAMPLES } from '../core/admission.js';
import {
  decodeModel,
  encodeModel,
  flatten,
  putBlob,
  putBroadcast,
  unflatten,
} from './checkpoints.js';
import type { Params } from './checkpoints.js';
import { loadOwnRule } from './own-rules.js';
import type { Helpers } from './pieces.js';
import { foldTogether, verifyTogether } from './together.js';
import { broadcastOf, composedRule } from './run-rule.js';
import { loadState, putState } from './states.js';
import type { UpdateFile } from './update-file.js';
import { openUpdate, readTile } from './update-file.js';
import { readVerified } from './verified.js';

/** Plain data: it may be handed to another thread. */
export interface AggregationInput {
  readonly run: Run;
  readonly round: Round;
  readonly base: Checkpoint;
  /** With an accepted update each, in client-id order. */
  readonly accepted: readonly AssignmentRecord[];
  /** Clients enrolled in the run that train. */
  readonly numClients: number;
}

export interface AggregationParts {
  readonly blobs: BlobStore;
  readonly oracles: OracleProvider;
  readonly kernels: Kernels;
  readonly ruleModules?: RuleModules;
  /** Other threads that take pieces of a large round. */
  readonly helpers?: Helpers;
}

/** What is stored of the aggregation. Small: the model and its state are blobs already. */
export type AggregationResult = Required<
  Pick<RoundChanges, 'checkpoint' | 'weights' | 'coefficients' | 'diagnostics' | 'matrices'>
>;

/**
 * Runs the rule and the server optimizer over the accepted updates and stores the new model and
 * state. Nothing counts until the caller commits what is returned; doing it twice is harmless.
 */
export async function aggregate(
  input: AggregationInput,
  parts: AggregationParts,
): Promise<AggregationResult> {
  const { run, round, base, accepted } = input;
  await loadOwnRule(run.spec, parts.ruleModules);
  const specs = run.spec.task.model.tensors;
  const shared = layoutOf(specs, 'shared');
  const buffer = layoutOf(specs, 'buffer');

  const what = `the model of checkpoint ${base.version}`;
  const before = decodeModel(await readVerified(parts.blobs, base.sha256, { what }), specs);
  const model = flatten(before, shared);
  const updates = await openAll(accepted, round, shared, parts);

  const outcome = await runRule(input, parts, { before, model, shared, updates });
  const after: Params = {
    ...before,
    ...unflatten(applyDelta(model, outcome.delta), shared),
    ...(await averageBuffers(before, buffer, updates, run, parts.kernels)),
  };

  const stored = await putBlob(parts.blobs, encodeModel(after, specs));
  const checkpoint: Checkpoint = {
    runId: run.id,
    version: base.version + 1,
    ...stored,
    stateSha256: await putState(parts.blobs, outcome.state),
    broadcast: await putBroadcast(parts.blobs, broadcastOf(run.spec, outcome.state), specs),
    collected: false,
  };
  return { checkpoint, ...recordOf(outcome, accepted) };
}

/** All updates, each held against its hash before the first is opened. */
async function openAll(
  accepted: readonly AssignmentRecord[],
  round: Round,
  shared: Layout,
  parts: AggregationParts,
): Promise<UpdateFile[]> {
  const named = accepted.map(({ id, clientId, update }) => {
    const what = `the update of "${clientId}" for round ${round.number}`;
    return { sha256: update!.sha256, what, update: id };
  });
  const bytes = accepted.reduce((sum, { update }) => sum + update!.bytes, 0);
  await verifyTogether(named, bytes, parts);
  const updates: UpdateFile[] = [];
  for (const record of accepted) {
    const blob = await parts.blobs.open(record.update!.sha256);
    updates.push(await openUpdate(blob, factsOf(record, round), shared));
  }
  return updates;
}

interface ModelAndUpdates {
  readonly before: Params;
  readonly model: Float32Array;
  readonly shared: Layout;
  readonly updates: readonly UpdateFile[];
}

async function runRule(
  { run, round, base, numClients }: AggregationInput,
  parts: AggregationParts,
  { before, model, shared, updates }: ModelAndUpdates,
): Promise<Outcome> {
  const { blobs, oracles, kernels, helpers } = parts;
  const { rule, options, needs } = composedRule(run.spec);
  const oracle = needs.oracle ? await oracles.open(run, notShared(before, shared)) : null;
  try {
    const ctx = {
      options,
      round: round.number,
      numClients,
      model,
      layout: shared,
      state: await loadState(blobs, base.stateSha256),
      fold: run.fold,
      kernels,
      ...(helpers && {
        foldVector: foldTogether(updates, shared, run.fold, { blobs, kernels, helpers }),
      }),
      oracle,
    };
    const acc = rule.begin(ctx);
    for (const update of updates) await rule.accumulate(acc, update, ctx);
    return await rule.finish(acc, ctx);
  } finally {
    await oracle?.close();
  }
}

/** An oracle is asked at parameters that it gets with each question: the others are all it lacks. */
function notShared(params: Params, shared: Layout): Params {
  const names = new Set(shared.tensors.map(({ name }) => name));
  return Object.fromEntries(Object.entries(params).filter(([name]) => !names.has(name)));
}

function factsOf(
  { clientId, role, baseVersion, update }: AssignmentRecord,
  round: Round,
): UpdateFacts {
  const { numExamples, numSteps, metrics, norm, maxAbs } = update!;
  const staleness = round.baseVersion - baseVersion;
  return { clientId, role, numExamples, numSteps, metrics, norm, maxAbs, baseVersion, staleness };
}

/** Batch-norm statistics and the like: their example-weighted mean, by the same exact fold. */
async function averageBuffers(
  before: Params,
  layout: Layout,
  updates: readonly UpdateFile[],
  run: Run,
  kernels: Kernels,
): Promise<Params> {
  if (layout.size === 0) return {};
  const { cohortMax, deltaMax } = run.fold;
  const scale = foldScale({ cohortMax, weightMax: MAX_EXAMPLES, deltaMax });
  const sum = emptyContribution(layout.size);
  for (const { blob, header, numExamples } of updates) {
    for (const { start, length } of tiles(layout.size)) {
      const tile = await readTile(blob, header, layout, DELTA, start, length);
      foldTile(sum, start, tile, numExamples, scale, kernels);
    }
    sum.weight += weightTerm(numExamples, scale);
    sum.count += 1;
  }
  return unflatten(applyDelta(flatten(before, layout), finishFold(sum, scale)), layout);
}

function recordOf(
  outcome: Outcome,
  accepted: readonly AssignmentRecord[],
): Omit<AggregationResult, 'checkpoint'> {
  const weights = accepted.map((a) => [a.id, weightGiven(outcome.weights, a.clientId)] as const);
  const finite = Object.entries(outcome.diagnostics).filter(([, value]) => Number.isFinite(value));
  return {
    weights: Object.fromEntries(weights),
    coefficients: namedCoefficients(
      outcome,
      accepted.map((a) => a.clientId),
    ),
    diagnostics: Object.fromEntries(finite),
    matrices: outcome.matrices ?? {},
  };
}

/** The coefficients as the rule gave them, by client, and `model` for the one on w. */
function namedCoefficients(
  { coefficients }: Outcome,
  clientIds: readonly ClientId[],
): AggregationResult['coefficients'] {
  if (!coefficients) return {};
  const { model, updates } = coefficients;
  return { model, ...Object.fromEntries(clientIds.map((id, i) => [`client:${id}`, updates[i]])) };
}
