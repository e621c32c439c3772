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
import type { AssignmentRecord, Checkpoint, RoundChanges, Run } from '../core/ports.js';
import type { Round } from '../core/round.js';
import type { ClientId, Outcome, UpdateFacts } from '../core/rules/rule.js';
import { MAX_EXAMPLES } from '../core/admission.js';
import {
  decodeModel,
  encodeModel,
  flatten,
  putBlob,
  putState,
  readAll,
  unflatten,
} from './checkpoints.js';
import type { Params } from './checkpoints.js';
import { composedRule } from './run-rule.js';
import type { EngineTools } from './engine.js';
import { openUpdate, readTile } from './update-file.js';

export interface AggregationInput {
  readonly run: Run;
  readonly round: Round;
  readonly base: Checkpoint;
  /** With an accepted update each, in client-id order. */
  readonly accepted: readonly AssignmentRecord[];
  /** Clients enrolled in the run that train. */
  readonly numClients: number;
}

export type AggregationParts = Pick<EngineTools, 'blobs' | 'oracles' | 'kernels' | 'stateOf'>;

export type AggregationResult = Required<
  Pick<RoundChanges, 'checkpoint' | 'weights' | 'coefficients' | 'diagnostics' | 'matrices'>
>;

type OpenUpdate = Awaited<ReturnType<typeof openUpdate>>;

/**
 * Runs the rule and the server optimizer over the accepted updates and stores the new model and
 * state. Nothing counts until the caller commits what is returned; doing it twice is harmless.
 */
export async function aggregate(
  input: AggregationInput,
  parts: AggregationParts,
): Promise<AggregationResult> {
  const { run, round, base, accepted } = input;
  const specs = run.spec.task.model.tensors;
  const shared = layoutOf(specs, 'shared');
  const buffer = layoutOf(specs, 'buffer');

  const before = decodeModel(await readAll(await parts.blobs.open(base.sha256)), specs);
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
  };
  return { checkpoint, ...recordOf(outcome, accepted) };
}

/** One after the other: a thousand files that are opened at once run into the limit of the process. */
async function openAll(
  accepted: readonly AssignmentRecord[],
  round: Round,
  shared: Layout,
  { blobs }: AggregationParts,
): Promise<OpenUpdate[]> {
  const updates: OpenUpdate[] = [];
  for (const record of accepted) {
    const blob = await blobs.open(record.update!.sha256);
    updates.push(await openUpdate(blob, factsOf(record, round), shared));
  }
  return updates;
}

interface ModelAndUpdates {
  readonly before: Params;
  readonly model: Float32Array;
  readonly shared: Layout;
  readonly updates: readonly OpenUpdate[];
}

async function runRule(
  { run, round, base, numClients }: AggregationInput,
  { oracles, kernels, stateOf }: AggregationParts,
  { before, model, shared, updates }: ModelAndUpdates,
): Promise<Outcome> {
  const { rule, options, needs } = composedRule(run.spec);
  const oracle = needs.oracle ? await oracles.open(run, before) : null;
  try {
    const ctx = {
      options,
      round: round.number,
      numClients,
      model,
      layout: shared,
      state: await stateOf(base.stateSha256),
      fold: run.fold,
      kernels,
      oracle,
    };
    const acc = rule.begin(ctx);
    for (const update of updates) await rule.accumulate(acc, update, ctx);
    return await rule.finish(acc, ctx);
  } finally {
    await oracle?.close();
  }
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
  updates: readonly OpenUpdate[],
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
  // A client may be called "constructor": what the rule did not give it must not be found elsewhere.
  const given = (id: ClientId): number =>
    Object.hasOwn(outcome.weights, id) ? outcome.weights[id] : 0;
  const weights = Object.fromEntries(accepted.map((a) => [a.id, given(a.clientId)]));
  const finite = Object.entries(outcome.diagnostics).filter(([, value]) => Number.isFinite(value));
  return {
    weights,
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
