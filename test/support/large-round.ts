/** A round that is large enough to be shared out among threads, its updates stored. */
import { runSpec } from '../../protocol/run.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { DELTA, UPDATE_METADATA, tensorKey } from '../../protocol/update.js';
import { foldScale } from '../../server/core/kernels/fold.js';
import type { BlobStore } from '../../server/core/ports.js';
import type { AssignmentRecord } from '../../server/core/records.js';
import { openRound } from '../../server/core/round.js';
import type { AggregationInput } from '../../server/engine/aggregation.js';
import { putBlob } from '../../server/engine/checkpoints.js';

export interface LargeRoundOptions {
  readonly updates: number;
  /** Parameters of the model; float32 each. */
  readonly size: number;
  readonly rule?: RunSpecInput['rule'];
  /** Sent beside the delta. */
  readonly vectors?: readonly string[];
}

/** Values in [-1/8, 1/8) without a pattern that a mistaken stretch or row could hide in. */
function values(size: number, seed: number): Float32Array {
  const out = new Float32Array(size);
  let state = (seed + 1) * 2654435761;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out[i] = state / 2 ** 34;
  }
  return out;
}

async function putUpdate(
  blobs: BlobStore,
  k: number,
  { size, vectors = [] }: LargeRoundOptions,
): Promise<AssignmentRecord> {
  const id = `assignment-${k}`;
  const facts = { numExamples: 10 + 7 * k, numSteps: 1 + k, metrics: {} };
  const tensors = [DELTA, ...vectors].map((vector, i) => {
    return [tensorKey(vector, 'w'), { shape: [size], data: values(size, 100 * i + k) }] as const;
  });
  const metadata = { [UPDATE_METADATA]: JSON.stringify({ assignmentId: id, ...facts }) };
  const stored = await putBlob(blobs, encodeSafetensors(Object.fromEntries(tensors), metadata));
  const clientId = `client-${String(k).padStart(4, '0')}`;
  return {
    ...{ id, runId: 'large', round: 1, attempt: 1, clientId, role: 'source', kind: 'train' },
    ...{ baseVersion: 0, state: 'accepted', report: null },
    update: {
      ...{ ...stored, ...facts, norm: 1, maxAbs: 0.125 },
      ...{ receivedAt: k, error: null, flags: [], weight: null },
    },
  };
}

export async function largeRound(
  blobs: BlobStore,
  options: LargeRoundOptions,
): Promise<AggregationInput> {
  const { updates, size, rule = { name: 'fedavg' } } = options;
  const model = encodeSafetensors({ w: { shape: [size], data: values(size, -1) } });
  const init = await putBlob(blobs, model);
  const spec = runSpec.parse({
    name: 'large',
    task: {
      name: 'large',
      model: { format: 'opaque', body: {}, tensors: [{ name: 'w', shape: [size] }] },
      data: { features: { shape: [1] }, labels: { kind: 'value' } },
    },
    rule,
    rounds: 1,
    init: { blob: init.sha256 },
  });
  const accepted: AssignmentRecord[] = [];
  for (let k = 0; k < updates; k++) accepted.push(await putUpdate(blobs, k, options));
  return {
    run: {
      ...{ id: 'large', spec, status: 'running', reason: null, oracle: null, createdAt: 0 },
      fold: foldScale({ ...spec.caps, weightMax: 2 ** 17 }),
    },
    round: openRound('large', 1, 1, 0, 0),
    base: {
      ...{ runId: 'large', version: 0, ...init },
      ...{ stateSha256: null, broadcast: null, collected: false },
    },
    accepted,
    numClients: updates,
  };
}
