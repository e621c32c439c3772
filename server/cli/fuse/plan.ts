/** Which tensors of a model file are fused, which are averaged, and which stay as they are. */
import { TributaryError } from '../../../protocol/errors.js';
import type { TensorSpec } from '../../../protocol/model.js';
import { elements } from '../../../protocol/model.js';
import type { Layout } from '../../core/layout.js';
import { layoutOf } from '../../core/layout.js';
import type { TensorFile } from './tensor-file.js';
import { isFloatEntry, named } from './tensor-file.js';

export interface Plan {
  /** What the rule sees. */
  readonly shared: Layout;
  /** Batch-norm statistics and the like, which a model names: averaged by examples. */
  readonly buffer: Layout;
}

/**
 * Without a model, every tensor of floats is shared, in the order of the file, and others (counters,
 * token ids) are the base's. With one, the tensors have the roles that it says, in its order.
 *
 * @param base the file of the base
 * @throws TributaryError `bad_model` where the model and the file do not agree.
 */
export async function planOf(base: TensorFile, specs?: readonly TensorSpec[]): Promise<Plan> {
  return named(base.path, () => {
    const tensors = specs ? agreed(base, specs) : floatsOf(base);
    if (!tensors.some(({ role }) => role === 'shared'))
      refuse('it has no tensor of floats to fuse');
    return { shared: layoutOf(tensors, 'shared'), buffer: layoutOf(tensors, 'buffer') };
  });
}

function floatsOf({ header }: TensorFile): TensorSpec[] {
  return [...header.tensors].flatMap(([name, entry]) =>
    isFloatEntry(entry)
      ? [{ name, shape: [...entry.shape], dtype: 'float32' as const, role: 'shared' as const }]
      : [],
  );
}

function agreed({ header }: TensorFile, specs: readonly TensorSpec[]): readonly TensorSpec[] {
  for (const { name, shape } of specs) {
    const entry = header.tensors.get(name);
    if (!entry) refuse(`it lacks tensor "${name}" of the model`);
    if (!isFloatEntry(entry))
      refuse(`tensor "${name}" is ${entry.dtype}, and the model's are floats`);
    if (!sameShape(entry.shape, shape))
      refuse(`tensor "${name}" has the shape ${show(entry.shape)}; the model says ${show(shape)}`);
  }
  const known = new Set(specs.map(({ name }) => name));
  for (const [name, entry] of header.tensors)
    if (isFloatEntry(entry) && !known.has(name)) refuse(`tensor "${name}" is not in the model`);
  return specs;
}

/**
 * Whether a file has exactly the tensors of the base, in the same shapes. The width of floats may
 * differ.
 *
 * @throws TributaryError `wrong_tensors`, `wrong_shape`, `wrong_dtype`, naming file and tensor.
 */
export async function checkSame(base: TensorFile, file: TensorFile): Promise<void> {
  await named(file.path, () => {
    for (const [name, wanted] of base.header.tensors) {
      const entry = file.header.tensors.get(name);
      if (!entry) wrong('wrong_tensors', `it lacks tensor "${name}" of the base`);
      if (!sameShape(entry.shape, wanted.shape))
        wrong(
          'wrong_shape',
          `tensor "${name}" has the shape ${show(entry.shape)}; the base has ${show(wanted.shape)}`,
        );
      if (isFloatEntry(wanted) !== isFloatEntry(entry))
        wrong('wrong_dtype', `tensor "${name}" is ${entry.dtype}; the base has ${wanted.dtype}`);
    }
    const other = [...file.header.tensors.keys()].find((name) => !base.header.tensors.has(name));
    if (other !== undefined) wrong('wrong_tensors', `tensor "${other}" is not in the base`);
  });
}

/** Whether a file of an auxiliary vector covers the shared tensors. @throws as {@link checkSame}. */
export async function checkCovers(
  { shared }: Plan,
  base: TensorFile,
  file: TensorFile,
): Promise<void> {
  await named(file.path, () => {
    for (const { name, length } of shared.tensors) {
      const entry = file.header.tensors.get(name);
      if (!entry) wrong('missing_vector', `it lacks tensor "${name}" of the base`);
      if (!isFloatEntry(entry))
        wrong('wrong_dtype', `tensor "${name}" is ${entry.dtype}, no floats`);
      const wanted = base.header.tensors.get(name)?.shape ?? [];
      if (elements(entry.shape) !== length || !sameShape(entry.shape, wanted))
        wrong(
          'wrong_shape',
          `tensor "${name}" has the shape ${show(entry.shape)}; the base has ${show(wanted)}`,
        );
    }
  });
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

function show(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function refuse(problem: string): never {
  throw new TributaryError('bad_model', problem);
}

type Wrong = 'wrong_tensors' | 'wrong_shape' | 'wrong_dtype' | 'missing_vector';

function wrong(code: Wrong, problem: string): never {
  throw new TributaryError(code, problem);
}
