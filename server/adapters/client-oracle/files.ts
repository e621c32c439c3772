/** The two files of a question: parameters down, loss and gradient up. Pure. */
import { TributaryError } from '../../../protocol/errors.js';
import type { TensorSpec } from '../../../protocol/model.js';
import { elements } from '../../../protocol/model.js';
import { decodeSafetensors, encodeSafetensors } from '../../../protocol/safetensors.js';
import type { Tensor, TensorInput } from '../../../protocol/safetensors.js';
import { layoutOf } from '../../core/layout.js';

/** Room for the header of an answer, beside what the names of the tensors take. */
const HEADER_BYTES = 64 * 1024;
const BYTES_PER_TENSOR = 512;

/**
 * The parameters of a question, under the names of the task.
 *
 * @param params Flat over the shared tensors.
 * @param buffers By name; shared tensors among them are passed over.
 */
export function questionFile(
  specs: readonly TensorSpec[],
  params: Float32Array,
  buffers: Readonly<Record<string, Float32Array>>,
): Uint8Array {
  const tensors: Record<string, TensorInput> = {};
  let start = 0;
  for (const { name, shape, role } of specs) {
    if (role === 'shared') {
      const end = start + elements(shape);
      tensors[name] = { shape, data: params.subarray(start, end) };
      start = end;
    } else if (Object.hasOwn(buffers, name)) tensors[name] = { shape, data: buffers[name] };
  }
  return encodeSafetensors(tensors);
}

/** Greatest length of an answer. */
export function maxAnswerBytes(specs: readonly TensorSpec[]): number {
  const { size } = layoutOf(specs, 'shared');
  const names = specs.reduce((sum, { name }) => sum + 2 * name.length + BYTES_PER_TENSOR, 0);
  return size * Float32Array.BYTES_PER_ELEMENT + names + HEADER_BYTES;
}

/**
 * Reads an answer: the gradient of each shared tensor under its name, and the loss in the metadata.
 *
 * @returns the gradient flat over the shared tensors.
 * @throws TributaryError `bad_safetensors`, `wrong_tensors`, `wrong_dtype`, `wrong_shape`,
 * `not_finite`, `bad_facts`.
 */
export function readAnswer(
  specs: readonly TensorSpec[],
  file: Uint8Array,
): { loss: number; grad: Float32Array } {
  const { tensors, metadata } = decodeSafetensors(file);
  const text = 'loss' in metadata ? metadata.loss : '';
  const loss = Number(text);
  if (text.trim() === '' || !Number.isFinite(loss)) {
    throw new TributaryError('bad_facts', 'answer: the metadata has no finite loss');
  }
  const shared = specs.filter(({ role }) => role === 'shared');
  const extra = Object.keys(tensors).find((name) => !shared.some((spec) => spec.name === name));
  if (extra !== undefined) {
    throw new TributaryError('wrong_tensors', `answer: "${extra}" is no shared tensor of the task`);
  }
  const layout = layoutOf(specs, 'shared');
  const grad = new Float32Array(layout.size);
  layout.tensors.forEach(({ start }, index) => {
    grad.set(gradientOf(shared[index], tensors[shared[index].name]), start);
  });
  return { loss, grad };
}

function gradientOf(spec: TensorSpec, tensor: Tensor | undefined): Float32Array {
  const name = `answer: "${spec.name}"`;
  if (!tensor) throw new TributaryError('wrong_tensors', `${name} is missing`);
  if (!(tensor.data instanceof Float32Array)) {
    throw new TributaryError('wrong_dtype', `${name} has dtype ${tensor.dtype}; F32 is wanted`);
  }
  const asShape = (shape: readonly number[]): string => `[${shape.join(', ')}]`;
  if (asShape(tensor.shape) !== asShape(spec.shape)) {
    const found = asShape(tensor.shape);
    throw new TributaryError(
      'wrong_shape',
      `${name} has shape ${found}, not ${asShape(spec.shape)}`,
    );
  }
  if (tensor.data.length !== elements(spec.shape) || !tensor.data.every(Number.isFinite)) {
    throw new TributaryError('not_finite', `${name} has a value that is not finite`);
  }
  return tensor.data;
}
