/** Updates of the plain task as bytes: a good one, and the same with something wrong in it. */
import type { Assignment } from '../../protocol/messages.js';
import { elements } from '../../protocol/model.js';
import type { TensorInput } from '../../protocol/safetensors.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { tensorKey, UPDATE_METADATA } from '../../protocol/update.js';
import { plainTask } from './plain-task.js';

export interface UpdateParts {
  readonly tensors: Readonly<Record<string, TensorInput>>;
  /** The JSON text of the facts. */
  readonly facts: string;
}

/** An update in which every element of every tensor is `value`. */
export function goodUpdate(
  { id }: Pick<Assignment, 'id'>,
  value: number,
  numExamples: number,
): UpdateParts {
  const specs = plainTask.model.tensors.filter(({ role }) => role !== 'frozen');
  const tensors = specs.map(({ name, shape }) => {
    const data = new Float32Array(elements(shape)).fill(value);
    return [tensorKey('delta', name), { shape, data }] as const;
  });
  const facts = { assignmentId: id, numExamples, numSteps: 2, metrics: { loss: 0.5 } };
  return { tensors: Object.fromEntries(tensors), facts: JSON.stringify(facts) };
}

export function encode({ tensors, facts }: UpdateParts): Uint8Array {
  return encodeSafetensors(tensors, { [UPDATE_METADATA]: facts });
}

export function withTensor(parts: UpdateParts, name: string, tensor: TensorInput): UpdateParts {
  return { ...parts, tensors: { ...parts.tensors, [tensorKey('delta', name)]: tensor } };
}

export function withoutTensor(parts: UpdateParts, name: string): UpdateParts {
  const others = Object.entries(parts.tensors).filter(([key]) => key !== tensorKey('delta', name));
  return { ...parts, tensors: Object.fromEntries(others) };
}

/** Replaces facts by their JSON text, so that `1e400` and `NaN` can be written; null drops one. */
export function withFacts(
  parts: UpdateParts,
  changes: Readonly<Record<string, string | null>>,
): UpdateParts {
  const facts = JSON.parse(parts.facts) as Record<string, unknown>;
  const texts = new Map(
    Object.entries(facts).map(([name, value]) => [name, JSON.stringify(value)]),
  );
  for (const [name, text] of Object.entries(changes)) {
    if (text === null) texts.delete(name);
    else texts.set(name, text);
  }
  return {
    ...parts,
    facts: `{${[...texts].map(([name, text]) => `"${name}":${text}`).join(',')}}`,
  };
}
