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
  countFlags,
  countedExamples,
  isMeasure,
  maxUpdateBytes,
} from '../core/admission.js';
import type { Kernels } from '../core/kernels/kernels.js';
import type { Layout } from '../core/layout.js';
import { layoutOf, tiles } from '../core/layout.js';
import type { Blob, StagedBlob } from '../core/ports.js';
import type { AssignmentRecord, UpdateRow } from '../core/records.js';
import { needsUpdates } from '../core/round.js';
import type { UpdateFacts } from '../core/rules/rule.js';
import type { EngineTools } from './engine.js';
import { trainingFor } from './local-training.js';
import type { FixedRun } from './known-runs.js';
import type { RunRule } from './run-rule.js';
import { composedRule, vectorsFor } from './run-rule.js';
import { readHeader, readTile } from './update-file.js';

type Judgement = Pick<
  UpdateRow,
  'numExamples' | 'numSteps' | 'norm' | 'maxAbs' | 'metrics' | 'flags' | 'error'
>;

/** Greatest length of an upload by a client with this role. */
export function maxUploadBytes({ spec }: FixedRun, role: Role): number {
  return maxUpdateBytes(spec.task.model.tensors, vectorsFor(composedRule(spec).needs, role));
}

/**
 * Judges the content, makes the bytes durable where they count, and records the receipt. In this
 * order: a receipt that says accepted is never without its blob.
 *
 * @throws TributaryError `assignment_used`, `storage_unavailable`.
 */
export async function submit(
  run: FixedRun,
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
    counts = isRepeated(record, staged) || (record.state === 'invited' && !judgement.error);
    await (counts ? staged.commit() : staged.discard());
    settled = true;
    const receipt = await store.record(record.id, row(judgement));
    tellFlags(receipt, judgement, tools);
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

/** Told once, with the receipt; who looks at the round later finds the flags beside the update. */
function tellFlags(receipt: Receipt, { flags }: Judgement, { log }: EngineTools): void {
  const { status, duplicate, runId, round, clientId: client, assignmentId: assignment } = receipt;
  if (status !== 'accepted' || duplicate || flags.length === 0) return;
  log.info({ runId, round, client, assignment, flags }, 'the counts of an update look odd');
}

/**
 * Whether the committed bytes have a use. Of two uploads of the same bytes, the slower one may commit
 * them once more when the round was folded and had deleted them: nobody would delete them again.
 */
async function isNeeded(
  { status, duplicate }: Receipt,
  { spec }: FixedRun,
  record: AssignmentRecord,
  store: EngineTools['store'],
): Promise<boolean> {
  if (status !== 'accepted') return false;
  if (!duplicate || spec.keepUpdates) return true;
  return isUnderWay(record, store);
}

/** Whether the round still takes updates, or folds those that it has. */
async function isUnderWay(
  { runId, round, attempt }: AssignmentRecord,
  store: EngineTools['store'],
): Promise<boolean> {
  const current = await store.currentRound(runId);
  return current?.number === round && current.attempt === attempt && needsUpdates(current);
}

/** Sent once more, it is stored once more: what had been lost or altered of it is whole again. */
function isRepeated({ state, update }: AssignmentRecord, { sha256 }: StagedBlob): boolean {
  return state === 'accepted' && update?.sha256 === sha256;
}

function isUsed(error: unknown): boolean {
  return error instanceof TributaryError && error.code === 'assignment_used';
}

/** What is recorded of an update whose content says nothing. */
function unread(error: UpdateRow['error']): Judgement {
  return { numExamples: 0, numSteps: 0, norm: 0, maxAbs: 0, metrics: {}, flags: [], error };
}

/** Reads an upload and says what is in it, or why it is refused. Never throws for its content. */
async function judge(
  run: FixedRun,
  record: AssignmentRecord,
  blob: Blob,
  tools: EngineTools,
): Promise<Judgement> {
  try {
    return await examine(run, record, blob, tools);
  } catch (error) {
    if (!(error instanceof TributaryError)) throw error;
    // The state that it is weighed by goes with its round: it is late, whatever is in it.
    const isLate = error.code === 'blob_damaged' && !(await isUnderWay(record, tools.store));
    if (isLate) return unread(null);
    // A fault of ours is not the client's: nothing is recorded, and it may send again.
    if (error.status >= 500) throw error;
    return unread(error.toBody());
  }
}

async function examine(
  run: FixedRun,
  record: AssignmentRecord,
  blob: Blob,
  tools: EngineTools,
): Promise<Judgement> {
  const { tensors: specs } = run.spec.task.model;
  const rule = composedRule(run.spec);
  const header = await readHeader(blob);
  const reported = reportedFacts(header);
  const { examplesMax } = run.spec.caps;
  checkReported(reported, record.id, examplesMax);
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

  // From here on the number that counts: what is stored, weighed and replayed is the same.
  const numExamples = countedExamples(reported.numExamples, examplesMax);
  const { numSteps, metrics } = reported;
  const facts: UpdateFacts = {
    ...{ clientId: record.clientId, role: record.role, numExamples, numSteps, metrics },
    ...{ norm: delta.norm, maxAbs: delta.maxAbs, baseVersion: record.baseVersion, staleness: 0 },
  };
  checkCaps(maxAbs, await weightOf(rule, facts, record, tools), run.fold);
  const flags = countFlags(reported, trainingFor(run.spec, rule, record.role), examplesMax);
  const { norm } = delta;
  return { numExamples, numSteps, metrics, norm, maxAbs: delta.maxAbs, flags, error: null };
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
  { stateAt }: EngineTools,
): Promise<number | undefined> {
  const { rule, options } = composed;
  if (!rule.weightOf) return undefined;
  return rule.weightOf(facts, options, await stateAt(runId, baseVersion));
}
