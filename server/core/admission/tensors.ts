/** The tensors of an upload against those of the task. Only names, dtypes and shapes are seen. */
import { TributaryError } from '../../../protocol/errors.js';
import type { TensorSpec } from '../../../protocol/model.js';
import { elements } from '../../../protocol/model.js';
import { DELTA, memberName, tensorKey } from '../../../protocol/update.js';
import { memberIndex } from '../rules/families/vectors.js';
import type { VectorNeed } from '../rules/rule.js';

/** What a header says of one tensor; dtypes as safetensors names them. */
export interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
}

const DTYPE = 'F32';
const FLOAT_BYTES = 4;
/** Members of a family, e.g. batches of a target. */
const MEMBERS_MAX = 4096;
/** Bytes of a family: a great model cannot come 4096 times. */
const FAMILY_BYTES_MAX = 4_294_967_296;

/** For the header's length, metadata and padding. */
const SLACK_BYTES = 65_536;
/** dtype, shape, offsets and the vector's name of one tensor, as JSON; the tensor's name beside. */
const ENTRY_BYTES = 512;
/** Bytes of a UTF-16 code unit in JSON, at most (`\u0000`). */
const JSON_UNIT_BYTES = 6;

function only(specs: readonly TensorSpec[], ...roles: TensorSpec['role'][]): readonly TensorSpec[] {
  return specs.filter(({ role }) => roles.includes(role));
}

function dataBytes(specs: readonly TensorSpec[]): number {
  return specs.reduce((sum, { shape }) => sum + FLOAT_BYTES * elements(shape), 0);
}

function membersMax(specs: readonly TensorSpec[]): number {
  const each = Math.max(1, dataBytes(only(specs, 'shared')));
  return Math.max(2, Math.min(MEMBERS_MAX, Math.floor(FAMILY_BYTES_MAX / each)));
}

/** Greatest length of an upload that could be accepted: longer ones are not even read. */
export function maxUpdateBytes(specs: readonly TensorSpec[], needs: readonly VectorNeed[]): number {
  const whole = (tensors: readonly TensorSpec[]): number =>
    tensors.reduce(
      (sum, { name }) => sum + ENTRY_BYTES + JSON_UNIT_BYTES * name.length,
      dataBytes(tensors),
    );
  const vectors = needs.reduce((sum, { many }) => sum + (many ? membersMax(specs) : 1), 0);
  return (
    SLACK_BYTES + whole(only(specs, 'shared', 'buffer')) + vectors * whole(only(specs, 'shared'))
  );
}

/**
 * Every tensor that the task and the rule ask this client for, each once, in exactly its shape: a
 * scalar or a (1,) never stands for more. The delta covers shared tensors and buffers; auxiliary
 * vectors cover shared tensors.
 *
 * @param entries by name in the file, `vector/tensor`
 * @returns the auxiliary vectors, a family in the order of its members
 * @throws TributaryError `wrong_tensors`, `wrong_dtype`, `wrong_shape`, `missing_vector`,
 * `over_cap`.
 */
export function checkTensors(
  entries: ReadonlyMap<string, HeaderEntry>,
  specs: readonly TensorSpec[],
  needs: readonly VectorNeed[],
): string[] {
  const names = new Set([...entries.keys()].map(vectorOf));
  const vectors = needs.flatMap((need) => expectedVectors(need, names, membersMax(specs)));
  const expected = new Map<string, TensorSpec>();
  const expect = (vector: string, tensors: readonly TensorSpec[]): void => {
    for (const spec of tensors) expected.set(tensorKey(vector, spec.name), spec);
  };
  expect(DELTA, only(specs, 'shared', 'buffer'));
  for (const vector of vectors) expect(vector, only(specs, 'shared'));

  for (const [key, spec] of expected) {
    const entry = entries.get(key);
    if (entry) checkEntry(key, entry, spec);
    else refuse(vectorOf(key) === DELTA ? 'wrong_tensors' : 'missing_vector', key, 'is missing');
  }
  for (const key of entries.keys()) {
    if (!expected.has(key)) refuse('wrong_tensors', key, 'is not asked for');
  }
  return vectors;
}

function vectorOf(key: string): string {
  const slash = key.indexOf('/');
  return slash < 0 ? key : key.slice(0, slash);
}

/** The vectors that a need stands for, given the names that the upload has. */
function expectedVectors(
  { name, many, fewest = 1 }: VectorNeed,
  names: ReadonlySet<string>,
  most: number,
): string[] {
  if (!many) return [name];
  const members = [...names].filter((vector) => memberIndex(vector, name) !== null).length;
  if (members > most) {
    const message = `the update has ${members} vectors "${name}.*"; at most ${most} are taken`;
    throw new TributaryError('over_cap', message, { vector: name });
  }
  // As many as there are, numbered from 0: a gap shows up as a member that is missing.
  return Array.from({ length: Math.max(fewest, members) }, (_, index) => memberName(name, index));
}

function checkEntry(key: string, { dtype, shape }: HeaderEntry, spec: TensorSpec): void {
  if (dtype !== DTYPE) refuse('wrong_dtype', key, `is ${dtype}; it must be ${DTYPE}`);
  const isSame =
    shape.length === spec.shape.length && shape.every((size, axis) => size === spec.shape[axis]);
  if (isSame) return;
  const text = `has the shape [${shape.join(', ')}]; the task says [${spec.shape.join(', ')}]`;
  refuse('wrong_shape', key, text);
}

type Refusal = 'wrong_tensors' | 'wrong_dtype' | 'wrong_shape' | 'missing_vector';

/** The name is the client's own word: quoted, and cut where it is long. */
function refuse(code: Refusal, key: string, what: string): never {
  const name = key.length > 200 ? `${key.slice(0, 200)}…` : key;
  throw new TributaryError(code, `tensor ${JSON.stringify(name)} ${what}`, { tensor: name });
}
