/** The moving average of the checkpoints that a run with the step `ema` keeps, as a model. */
import { TributaryError } from '../../protocol/errors.js';
import { layoutOf } from '../core/layout.js';
import type { BlobStore } from '../core/ports.js';
import type { Checkpoint, Run } from '../core/records.js';
import { averageOf } from '../core/steps/ema.js';
import { decodeModel, encodeModel, unflatten } from './checkpoints.js';
import { loadState } from './states.js';
import { readVerified } from './verified.js';

/**
 * The shared tensors averaged up to this checkpoint, rounded to float32; all others as the checkpoint
 * has them. Version 0 is what the average starts from.
 *
 * @returns safetensors; the same bytes each time.
 * @throws TributaryError `not_found` where the run keeps no average.
 */
export async function averagedModel(
  { id, spec }: Run,
  { version, sha256, stateSha256 }: Checkpoint,
  blobs: BlobStore,
): Promise<Uint8Array> {
  if (!spec.after.some(({ name }) => name === 'ema')) {
    const message = `run "${id}" keeps no average: create it with "after": [{ "name": "ema" }]`;
    throw new TributaryError('not_found', message);
  }
  const specs = spec.task.model.tensors;
  const what = `the model of checkpoint ${version}`;
  const model = decodeModel(await readVerified(blobs, sha256, { what }), specs);
  if (version === 0) return encodeModel(model, specs);
  const average = averageOf(await loadState(blobs, stateSha256));
  if (!average) throw new TributaryError('internal', `checkpoint ${version} has lost its average`);
  const shared = unflatten(Float32Array.from(average), layoutOf(specs, 'shared'));
  return encodeModel({ ...model, ...shared }, specs);
}
