/**
 * What an update must be before it may count. Pure checks on values; the engine reads the bytes.
 * Every refusal names the tensor or the number that is wrong.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { TensorSpec } from '../../protocol/model.js';
import { elements } from '../../protocol/model.js';
import { quote } from '../../protocol/text.js';
import type { ReportedFacts } from '../../protocol/update.js';
import { DELTA, memberName, tensorKey } from '../../protocol/update.js';
import type { FoldScale } from './kernels/kernels.js';
import type { VectorNeed } from './rules/rule.js';

/** Most examples that one update may report: buffers are averaged by them, in fixed point too. */
export const MAX_EXAMPLES = 16_777_216;
/** Most vectors in a family such as `batch.0`, `batch.1`, …. */
export const MAX_MEMBERS = 1024;

/** The type and shape of one tensor in an uploaded file. */
export interface TensorHeader {
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** The tensors that travel in a delta: what the rule sees, and the buffers beside it. */
export function travelling(specs: readonly TensorSpec[]): readonly TensorSpec[] {
  return specs.filter(({ role }) => role === 'shared' || role === 'buffer');
}

/**
 * Checks the tensors of an upload by name, dtype and shape. Nothing may be missing, nothing more may
 * be there, and no shape is stretched to fit another.
 *
 * @returns the names of the auxiliary vectors, families in order of their members.
 * @throws TributaryError `wrong_tensors`, `wrong_dtype`, `wrong_shape`, `missing_vector`.
 */
export function checkTensors(
  found: ReadonlyMap<string, TensorHeader>,
  specs: readonly TensorSpec[],
  needs: readonly VectorNeed[],
): string[] {
  const vectors = needs.flatMap((need) => membersOf(need, found, specs));
  const expected = new Map<string, TensorSpec>();
  for (const spec of travelling(specs)) expected.set(tensorKey(DELTA, spec.name), spec);
  for (const vector of vectors) {
    for (const spec of specs) {
      if (spec.role === 'shared') expected.set(tensorKey(vector, spec.name), spec);
    }
  }
  for (const [key, spec] of expected) checkTensor(key, spec, found.get(key));
  for (const key of found.keys()) {
    if (!expected.has(key)) {
      throw new TributaryError('wrong_tensors', `the task has no tensor ${quote(key)}`);
    }
  }
  return vectors;
}

/** The vectors that a need stands for, as far as the file goes on having them. */
function membersOf(
  { name, many }: VectorNeed,
  found: ReadonlyMap<string, TensorHeader>,
  specs: readonly TensorSpec[],
): string[] {
  const shared = specs.find(({ role }) => role === 'shared');
  const has = (vector: string): boolean => found.has(tensorKey(vector, shared?.name ?? ''));
  const members: string[] = [];
  if (!many) members.push(name);
  else while (has(memberName(name, members.length))) members.push(memberName(name, members.length));
  if (members.length === 0 || !has(members[0])) {
    throw new TributaryError(
      'missing_vector',
      `the rule needs the vector "${members[0] ?? memberName(name, 0)}"`,
    );
  }
  if (members.length > MAX_MEMBERS) {
    throw new TributaryError('wrong_tensors', `"${name}" has more than ${MAX_MEMBERS} vectors`);
  }
  return members;
}

function checkTensor(key: string, { shape }: TensorSpec, tensor: TensorHeader | undefined): void {
  if (!tensor) throw new TributaryError('wrong_tensors', `the tensor ${quote(key)} is missing`);
  if (tensor.dtype !== 'F32') {
    throw new TributaryError('wrong_dtype', `the tensor ${quote(key)} is ${tensor.dtype}, not F32`);
  }
  const same = tensor.shape.length === shape.length && shape.every((n, i) => n === tensor.shape[i]);
  if (!same) {
    const sizes = `[${tensor.shape.join(', ')}], not [${shape.join(', ')}]`;
    throw new TributaryError('wrong_shape', `the tensor ${quote(key)} has the shape ${sizes}`);
  }
}

/** Norm, greatest magnitude and finiteness of a vector, tile by tile. */
export class VectorScan {
  #sumOfSquares = 0;
  #maxAbs = 0;
  #seen = 0;

  /** @param what names the vector in errors. */
  constructor(private readonly what: string) {}

  /** @throws TributaryError `not_finite`, naming the first element that is not. */
  add(tile: Float32Array): void {
    for (let i = 0; i < tile.length; i++) {
      const magnitude = Math.abs(tile[i]);
      // The only comparison that NaN and infinity both fail.
      if (!(magnitude < Infinity)) {
        throw new TributaryError(
          'not_finite',
          `${this.what}: element ${this.#seen + i} is ${tile[i]}`,
        );
      }
      if (magnitude > this.#maxAbs) this.#maxAbs = magnitude;
      // Squares of float32 stay far inside float64.
      this.#sumOfSquares += magnitude * magnitude;
    }
    this.#seen += tile.length;
  }

  get norm(): number {
    return Math.sqrt(this.#sumOfSquares);
  }

  get maxAbs(): number {
    return this.#maxAbs;
  }
}

/** @throws TributaryError `bad_facts`, `over_cap`. */
export function checkReported(facts: ReportedFacts, assignmentId: string): void {
  if (facts.assignmentId !== assignmentId) {
    throw new TributaryError('bad_facts', 'the update was made for another assignment');
  }
  if (facts.numExamples > MAX_EXAMPLES) {
    throw new TributaryError(
      'over_cap',
      `numExamples ${facts.numExamples} is over ${MAX_EXAMPLES}`,
    );
  }
}

/**
 * Holds a weight and a magnitude against the caps that keep the exact fold from overflowing.
 * @throws TributaryError `over_cap`; `bad_facts` for a weight that is negative or not finite.
 */
export function checkCaps(maxAbs: number, weight: number | undefined, fold: FoldScale): void {
  if (maxAbs > fold.deltaMax) {
    throw new TributaryError(
      'over_cap',
      `a value of magnitude ${maxAbs} is over deltaMax ${fold.deltaMax}`,
    );
  }
  if (weight === undefined) return;
  if (!(weight >= 0 && weight < Infinity)) {
    throw new TributaryError('bad_facts', `the rule weighs this update ${weight}`);
  }
  if (weight > fold.weightMax) {
    throw new TributaryError(
      'over_cap',
      `the weight ${weight} is over weightMax ${fold.weightMax}`,
    );
  }
}

/**
 * Greatest length of an upload: the tensors that are asked for, and room for the header.
 * A family of vectors may have up to {@link MAX_MEMBERS}.
 */
export function maxUpdateBytes(specs: readonly TensorSpec[], needs: readonly VectorNeed[]): number {
  const bytesOf = (list: readonly TensorSpec[]): number =>
    list.reduce((sum, { shape }) => sum + 4 * elements(shape), 0);
  const shared = specs.filter(({ role }) => role === 'shared');
  const vectors = needs.reduce((sum, { many }) => sum + (many ? MAX_MEMBERS : 1), 0);
  return bytesOf(travelling(specs)) + vectors * bytesOf(shared) + HEADER_ROOM;
}

const HEADER_ROOM = 4 * 1024 * 1024;
