/**
 * What a client keeps from round to round for a rule: SCAFFOLD's c_i, FedDyn's g_i. What training
 * returns is pending until its round has counted the update; a round that did not leaves it as it was.
 * Otherwise a late update would move c_i and not c, and c would no longer be the mean of them.
 */
import { TributaryError } from '../protocol/errors.js';
import { decodeSafetensors, encodeSafetensors } from '../protocol/safetensors.js';
import type { SafetensorsFile, TensorInput } from '../protocol/safetensors.js';
import { copyVectors } from './checkpoint.js';
import type { ClientStorage, Vectors } from './types.js';

interface Pending {
  readonly assignmentId: string;
  readonly vectors: Vectors;
}

/** The metadata that says which assignment the pending vectors are of. */
const PENDING_METADATA = 'tributary.pending';

/** For one client in one run. */
export class Kept {
  #vectors: Vectors = {};
  #pending: Pending | undefined;
  #key: string | undefined;

  /** @param storage Without one, the memory of this process. */
  constructor(private readonly storage?: ClientStorage) {}

  /**
   * Copies of what was kept last, to be asked for when the next training begins: then it is settled
   * whether the update before it was counted.
   *
   * @param key Names this client in this run, in the storage.
   * @param wasCounted Asked only where nobody has said so: while the client was away, say.
   * @throws TributaryError `bad_safetensors` where what was stored is damaged; what the storage throws.
   */
  async recall(
    key: string,
    wasCounted: (assignmentId: string) => Promise<boolean>,
  ): Promise<Vectors> {
    if (this.#key === undefined) await this.#load(key);
    this.#key = key;
    if (this.#pending) {
      const { assignmentId } = this.#pending;
      if (await wasCounted(assignmentId)) this.counted(assignmentId);
      else this.dropped(assignmentId);
    }
    return copyVectors(this.#vectors);
  }

  /**
   * To be awaited before the update is sent: a client that dies in between must find, when it is
   * back, what the coordinator may have counted.
   *
   * @throws TributaryError `bad_request` for a name that cannot be stored; what the storage throws.
   */
  async hold(assignmentId: string, vectors: Vectors): Promise<void> {
    checkNames(vectors);
    this.#pending = { assignmentId, vectors: copyVectors(vectors) };
    if (this.#key !== undefined)
      await this.storage?.save(this.#key, encode(this.#vectors, this.#pending));
  }

  /** The round committed with this update. Stored with the next one: until then the file says enough. */
  counted(assignmentId: string): void {
    if (this.#pending?.assignmentId !== assignmentId) return;
    this.#vectors = this.#pending.vectors;
    this.#pending = undefined;
  }

  /** The update was rejected, came late, or its round was abandoned. */
  dropped(assignmentId: string): void {
    if (this.#pending?.assignmentId === assignmentId) this.#pending = undefined;
  }

  async #load(key: string): Promise<void> {
    const bytes = await this.storage?.load(key);
    if (bytes) [this.#vectors, this.#pending] = decode(key, bytes);
  }
}

function checkNames(vectors: Vectors): void {
  const bad = Object.keys(vectors).find((name) => !/^[A-Za-z0-9_.-]+$/.test(name));
  if (bad !== undefined)
    throw new TributaryError('bad_request', `keep: "${bad}" is no name for a vector`);
}

function encode(kept: Vectors, { assignmentId, vectors }: Pending): Uint8Array {
  const tensors = [...entriesOf('kept', kept), ...entriesOf('pending', vectors)];
  return encodeSafetensors(Object.fromEntries(tensors), { [PENDING_METADATA]: assignmentId });
}

function entriesOf(part: string, vectors: Vectors): [string, TensorInput][] {
  return Object.entries(vectors).flatMap(([vector, params]) =>
    Object.entries(params).map(([tensor, data]): [string, TensorInput] => [
      `${part}/${vector}/${tensor}`,
      { shape: [data.length], data },
    ]),
  );
}

function decode(key: string, bytes: Uint8Array): [Vectors, Pending] {
  try {
    const { tensors, metadata } = decodeSafetensors(bytes);
    const assignmentId = metadata[PENDING_METADATA] as string | undefined;
    if (assignmentId === undefined) throw new TypeError(`no "${PENDING_METADATA}" in it`);
    const pending = { assignmentId, vectors: vectorsOf('pending', tensors) };
    return [vectorsOf('kept', tensors), pending];
  } catch (cause) {
    const message = `what was kept as "${key}" is damaged: delete it, and this client starts anew`;
    throw new TributaryError('bad_safetensors', message, undefined, { cause });
  }
}

function vectorsOf(part: string, tensors: SafetensorsFile['tensors']): Vectors {
  const vectors = new Map<string, [string, Float32Array][]>();
  for (const [key, { data }] of Object.entries(tensors)) {
    const [of, vector, ...tensor] = key.split('/');
    if (of !== part) continue;
    if (!(data instanceof Float32Array)) throw new TypeError(`"${key}" is not float32`);
    vectors.set(vector, [...(vectors.get(vector) ?? []), [tensor.join('/'), data]]);
  }
  return Object.fromEntries(
    [...vectors].map(([name, entries]) => [name, Object.fromEntries(entries)]),
  );
}

/** Where one client in one run keeps its vectors: runs have ids that no other run has. */
export function keptKey(runId: string, clientId: string): string {
  return `${runId}.${clientId}`;
}
