/** From a spooled upload to a durable receipt. */
import { TributaryError, parse } from '../../protocol/errors.js';
import type { Role } from '../../protocol/run.js';
import type { SafetensorsHeader } from '../../protocol/safetensors.js';
import type { Receipt, ReportedFacts } from '../../protocol/update.js';
import { DELTA, UPDATE_METADATA, updateFacts } from '../../protocol/update.js';
import {
  VectorScan,
  checkCaps,
  checkMeasure,
  checkMetrics,
  checkReported,
  checkTensors,
  isMeasure,
  maxUpdateBytes,
} from '../core/admission.js';
import type { Kernels } from '../core/kernels/kernels.js';
import type { Layout } from '../core/layout.js';
import { layoutOf, tiles } from '../core/layout.js';
import type { AssignmentRecord, Blob, Run, StagedBlob, UpdateRow } from '../core/ports.js';
import { needsUpdates } from '../core/round.js';
import type { UpdateFacts } from '../core/rules/rule.js';
import type { EngineTools } from './engine.js';
import type { RunRule } from './run-rule.js';
import { composedRule, vectorsFor } from './run-rule.js';
import { readHeader, readTile } from './update-file.js';

type Judgement = Pick<
  UpdateRow,
  'numExamples' | 'numSteps' | 'norm' | 'maxAbs' | 'metrics' | 'error'
>;

/** Greatest length of an upload by a client with this role. */
export function maxUploadBytes({ spec }: Run, role: Role): number {
  return maxUpdateBytes(spec.task.model.tensors, vectorsFor(composedRule(spec).needs, role));
}

/**
 * Judges the content, makes the bytes durable where they count, and records the receipt. In this
 * order: a receipt that says accepted is never without its blob.
 *
 * @throws TributaryError `assignment_used`, `storage_unavailable`.
 */
export async function submit(
  run: Run,
  record: AssignmentRecord,
  staged: StagedBlob,
  tools: EngineTools,
): Promise<Receipt> {
  const { store, blobs, clock } = tools;
  const { sha256, bytes } = staged;
  const row = (judgement: Judgement): Omit<UpdateRow, 'weight'> => ({
    sha256,
    bytes,
    receivedAt: clock.now(),
    ...judgement,
  });
  let counts = false;
  let settled = false;
  try {
    // An assignment that has its receipt already gets the same one, whatever the bytes look like now.
    const judgement = record.update ? unread(null) : await judge(run, record, staged, tools);
    counts = record.state === 'invited' && judgement.error === null;
    await (counts ? staged.commit() : staged.discard());
    settled = true;
    const receipt = await store.record(record.id, row(judgement));
    // One that is late may have been committed by an earlier attempt whose answer was lost.
    const mayBeStored = counts || receipt.status === 'late';
    if (mayBeStored && !(await isNeeded(receipt, run, record, store))) await blobs.delete(sha256);
    return receipt;
  } catch (error) {
    // What could not be committed would fill the spool, one copy each time that the client tries.
    if (!settled) await staged.discard().catch(() => undefined);
    else if (counts && isUsed(error)) await blobs.delete(sha256);
    throw error;
  }
}

/**
 * Whether the committed bytes have a use. Of two uploads of the same bytes, the slower one may commit
 * them once more when the round was folded and had deleted them: nobody would delete them again.
 */
async function isNeeded(
  { status, duplicate }: Receipt,
  { id: runId, spec }: Run,
  { round, attempt }: AssignmentRecord,
  store: EngineTools['store'],
): Promise<boolean> {
  if (status !== 'accepted') return false;
  if (!duplicate || spec.keepUpdates) return true;
  const current = await store.currentRound(runId);
  return current?.number === round && current.attempt === attempt && needsUpdates(current);
}

function isUsed(error: unknown): boolean {
  return error instanceof TributaryError && error.code === 'assignment_used';
}

/** What is recorded of an update whose content says nothing. */
function unread(error: UpdateRow['error']): Judgement {
  return { numExamples: 0, numSteps: 0, norm: 0, maxAbs: 0, metrics: {}, error };
}

/** Reads an upload and says what is in it, or why it is refused. Never throws for its content. */
async function judge(
  run: Run,
  record: AssignmentRecord,
  blob: Blob,
  tools: EngineTools,
): Promise<Judgement> {
  try {
    return await examine(run, record, blob, tools);
  } catch (error) {
    // A fault of ours is not the client's: nothing is recorded, and it may send again.
    if (!(error instanceof TributaryError) || error.status >= 500) throw error;
    return unread(error.toBody());
  }
}

async function examine(
  run: Run,
  record: AssignmentRecord,
  blob: Blob,
  tools: EngineTools,
): Promise<Judgement> {
  const { tensors: specs } = run.spec.task.model;
  const rule = composedRule(run.spec);
  const header = await readHeader(blob);
  const reported = reportedFacts(header);
  checkReported(reported, record.id);
  checkMetrics(reported, rule.needs);
  const needs = vectorsFor(rule.needs, record.role);
  const vectors = checkTensors(header.tensors, specs, needs);
  const measures = vectors.filter((vector) => isMeasure(vector, needs));
  const folded = vectors.filter((vector) => !measures.includes(vector));

  const shared = layoutOf(specs, 'shared');
  const { kernels } = tools;
  const delta = await scan(blob, header, shared, DELTA, kernels);
  const others = [
    await scan(blob, header, layoutOf(specs, 'buffer'), DELTA, kernels),
    ...(await inTurn(folded, (vector) => scan(blob, header, shared, vector, kernels))),
  ];
  await inTurn(measures, (vector) =>
    scan(blob, header, shared, vector, kernels, (tile, start) =>
      checkMeasure(tile, vector, start, shared),
    ),
  );
  const maxAbs = Math.max(delta.maxAbs, ...others.map((other) => other.maxAbs));

  const { numExamples, numSteps, metrics } = reported;
  const facts: UpdateFacts = {
    ...{ clientId: record.clientId, role: record.role, numExamples, numSteps, metrics },
    ...{ norm: delta.norm, maxAbs: delta.maxAbs, baseVersion: record.baseVersion, staleness: 0 },
  };
  checkCaps(maxAbs, await weightOf(rule, facts, record, tools), run.fold);
  return { numExamples, numSteps, metrics, norm: delta.norm, maxAbs: delta.maxAbs, error: null };
}

function reportedFacts({ metadata }: SafetensorsHeader): ReportedFacts {
  const text = metadata[UPDATE_METADATA] as string | undefined;
  if (text === undefined) {
    throw new TributaryError('bad_facts', `the file's metadata has no "${UPDATE_METADATA}"`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TributaryError('bad_facts', `${UPDATE_METADATA} is not JSON`, undefined, { cause });
  }
  return parse(updateFacts, value, UPDATE_METADATA, 'bad_facts');
}

async function scan(
  blob: Blob,
  header: SafetensorsHeader,
  layout: Layout,
  vector: string,
  kernels: Kernels,
  also?: (tile: Float32Array, start: number) => void,
): Promise<VectorScan> {
  const result = new VectorScan(vector, kernels, layout);
  for (const { start, length } of tiles(layout.size)) {
    const tile = await readTile(blob, header, layout, vector, start, length);
    result.add(tile);
    also?.(tile, start);
  }
  return result;
}

/** One after the other: a client must not make the coordinator read a thousand vectors at once. */
async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

/** The weight in the exact fold; undefined for rules that do not fold. */
async function weightOf(
  composed: RunRule,
  facts: UpdateFacts,
  { runId, baseVersion }: AssignmentRecord,
  { store, stateOf }: EngineTools,
): Promise<number | undefined> {
  const { rule, options } = composed;
  if (!rule.weightOf) return undefined;
  const checkpoint = await store.checkpoint(runId, baseVersion);
  return rule.weightOf(facts, options, await stateOf(runId, checkpoint?.stateSha256 ?? null));
}
