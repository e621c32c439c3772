/** From what training returned to the bytes of an update. Pure. */
import { parse, TributaryError } from '../protocol/errors.js';
import type { Assignment } from '../protocol/messages.js';
import type { TensorSpec, TrainingConfig } from '../protocol/model.js';
import { elements } from '../protocol/model.js';
import type { TensorInput } from '../protocol/safetensors.js';
import { encodeSafetensors } from '../protocol/safetensors.js';
import type { ReportedFacts } from '../protocol/update.js';
import { DELTA, tensorKey, UPDATE_METADATA, updateFacts } from '../protocol/update.js';
import { deltaTensors, sharedTensors } from './params.js';
import type { Params, TrainResult } from './types.js';

/** What an update is made for. */
export type Asked = Pick<Assignment, 'id' | 'vectors'> & {
  readonly training: Pick<TrainingConfig, 'epochs' | 'batchSize' | 'steps'>;
};

/**
 * An update as safetensors: `delta/<tensor>` for each shared and buffer tensor, the auxiliary vectors
 * that were asked for over the shared ones, and the facts in the metadata.
 *
 * @param assignment Its `vectors` are the families that the rule asks for: `batch` stands for
 * `batch.0`, `batch.1`, …
 * @param model The received parameters.
 * @param scale Of the delta, applied in float64.
 * @throws TributaryError `wrong_tensors`, `wrong_shape` or `bad_facts`, naming what is wrong with the
 * result, before the coordinator would refuse it and the assignment be used up.
 */
export function encodeUpdate(
  assignment: Asked,
  specs: readonly TensorSpec[],
  model: Params,
  result: TrainResult,
  scale = 1,
): Uint8Array<ArrayBuffer> {
  const tensors: Record<string, TensorInput> = {};
  for (const spec of deltaTensors(specs)) {
    const trained = pick(result.params, spec, 'params');
    tensors[tensorKey(DELTA, spec.name)] = {
      shape: spec.shape,
      data: difference(trained, pick(model, spec, 'model'), scale),
    };
  }
  for (const [vector, params] of wantedVectors(result, assignment.vectors)) {
    for (const spec of sharedTensors(specs)) {
      const data = pick(params, spec, `vectors: ${vector}`);
      tensors[tensorKey(vector, spec.name)] = { shape: spec.shape, data };
    }
  }
  const facts = JSON.stringify(factsOf(assignment, result));
  return encodeSafetensors(tensors, { [UPDATE_METADATA]: facts });
}

/**
 * L2 norm of the delta of an update, over all tensors of it, in float64.
 *
 * @throws TributaryError `wrong_tensors`, `wrong_shape`.
 */
export function deltaNorm(specs: readonly TensorSpec[], model: Params, params: Params): number {
  let squares = 0;
  for (const spec of deltaTensors(specs)) {
    const [trained, received] = [pick(params, spec, 'params'), pick(model, spec, 'model')];
    for (let i = 0; i < trained.length; i++) squares += (trained[i] - received[i]) ** 2;
  }
  return Math.sqrt(squares);
}

/** Rules that normalise by work need steps: who does not count them has made those that were asked for. */
function factsOf(
  { id: assignmentId, training }: Asked,
  { numExamples, numSteps, metrics = {} }: TrainResult,
): ReportedFacts {
  const { epochs, batchSize, steps = epochs * Math.ceil(numExamples / batchSize) } = training;
  const facts = { assignmentId, numExamples, numSteps: numSteps ?? steps, metrics };
  return parse(updateFacts, facts, 'the result of training', 'bad_facts');
}

/** Others would be refused as tensors that the task does not name. */
function wantedVectors(result: TrainResult, families: readonly string[]): [string, Params][] {
  return Object.entries(result.vectors ?? {}).filter(([vector]) =>
    families.some((family) => vector === family || vector.startsWith(`${family}.`)),
  );
}

function pick(params: Params, { name, shape }: TensorSpec, where: string): Float32Array {
  const data: unknown = Object.hasOwn(params, name) ? params[name] : undefined;
  if (!(data instanceof Float32Array))
    throw new TributaryError('wrong_tensors', `${where}: "${name}" is not a Float32Array`);
  if (data.length !== elements(shape))
    throw new TributaryError(
      'wrong_shape',
      `${where}: "${name}" has ${data.length} elements; [${shape.join(', ')}] has ${elements(shape)}`,
    );
  return data;
}

/** Element by element, rounded to float32 once. */
function difference(a: Float32Array, b: Float32Array, scale: number): Float32Array {
  const delta = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) delta[i] = (a[i] - b[i]) * scale;
  return delta;
}
