/**
 * What a client keeps from round to round for a rule: SCAFFOLD's c_i, FedDyn's g_i. What training
 * returns is pending until its round has counted the update; a round that did not leaves it as it was.
 * Otherwise a late update would move c_i and not c, and c would no longer be the mean of them.
 *
 * An assignment may be trained twice: its client dies while the upload is judged, and is back before
 * there is a receipt. The second upload may have other bits, and only one of the two is counted. So
 * pending vectors belong to an upload, by its sha256, and both wait until the coordinator has said
 * which one it has.
 */
import type { GivenWeight } from '../protocol/http.js';
import type { Receipt } from '../protocol/update.js';
import { copyVectors } from './checkpoint.js';
import type { Pending } from './kept-file.js';
import { checkNames, decodeKept, encodeKept } from './kept-file.js';
import type { ClientStorage, Vectors } from './types.js';

/** Pending, with what this process has heard of it. */
interface Waiting extends Pending {
  /** There is a receipt: what the coordinator says of the assignment, it says of this upload. */
  readonly isRecorded: boolean;
}

/** Where a training begins. */
interface Place {
  /** Names this client in this run, in the storage. */
  readonly key: string;
  readonly assignmentId: string;
}

/** For one client in one run. */
export class Kept {
  #vectors: Vectors = {};
  #waiting: readonly Waiting[] = [];
  #key: string | undefined;

  /** @param storage Without one, the memory of this process. */
  constructor(private readonly storage?: ClientStorage) {}

  /**
   * Copies of what was kept last, to be asked for when the next training begins: then it is settled
   * which of the updates before it were counted. Earlier uploads for the same assignment go on
   * waiting: they may be under judgement at this moment.
   *
   * @param ask Asked only where nobody has said so: while the client was away, say.
   * @throws TributaryError `bad_safetensors` where what was stored is damaged; what the storage throws.
   */
  async recall(
    { key, assignmentId: current }: Place,
    ask: (assignmentId: string) => Promise<GivenWeight>,
  ): Promise<Vectors> {
    if (this.#key === undefined) await this.#load(key);
    this.#key = key;
    const others = new Set(this.#waiting.map(({ assignmentId }) => assignmentId));
    others.delete(current);
    for (const id of others) {
      const { weight, sha256 } = await ask(id);
      this.#settle(id, weight === null ? null : sha256);
    }
    return copyVectors(this.#vectors);
  }

  /**
   * To be awaited before the update is sent: a client that dies in between must find, when it is
   * back, what the coordinator may have counted.
   *
   * @param sha256 of the update
   * @throws TributaryError `bad_request` for a name that cannot be stored; what the storage throws.
   */
  async hold(assignmentId: string, sha256: string, vectors: Vectors): Promise<void> {
    checkNames(vectors);
    const others = this.#waiting.filter((each) => !isOf(each, assignmentId, sha256));
    const held = { assignmentId, sha256, vectors: copyVectors(vectors), isRecorded: false };
    this.#waiting = [...others, held];
    if (this.#key === undefined) return;
    const file = { vectors: this.#vectors, pending: this.#waiting };
    await this.storage?.save(this.#key, encodeKept(file));
  }

  /** The coordinator has this upload, and no other for its assignment. */
  recorded({
    assignmentId,
    sha256,
    status,
  }: Pick<Receipt, 'assignmentId' | 'sha256' | 'status'>): void {
    if (status !== 'accepted') {
      this.#settle(assignmentId, null);
      return;
    }
    this.#waiting = this.#waiting.flatMap((each) => {
      if (each.assignmentId !== assignmentId) return [each];
      return each.sha256 === sha256 ? [{ ...each, isRecorded: true }] : [];
    });
  }

  /**
   * The round committed with the update of this assignment. Where no receipt said which upload that
   * is, `recall` will ask. Stored with the next one: until then the file says enough.
   */
  counted(assignmentId: string): void {
    const upload = this.#waiting.find(
      (each) => each.assignmentId === assignmentId && each.isRecorded,
    );
    if (upload) this.#settle(assignmentId, upload.sha256);
  }

  /** The run is over: nothing will be asked for again. @throws what the storage throws. */
  async forget(key: string): Promise<void> {
    await this.storage?.remove(key);
  }

  /** @param sha256 of the upload that was counted; null where none was */
  #settle(assignmentId: string, sha256: string | null): void {
    const counted = this.#waiting.find((each) => isOf(each, assignmentId, sha256));
    if (counted) this.#vectors = counted.vectors;
    this.#waiting = this.#waiting.filter((each) => each.assignmentId !== assignmentId);
  }

  async #load(key: string): Promise<void> {
    const bytes = await this.storage?.load(key);
    if (!bytes) return;
    const { vectors, pending } = decodeKept(key, bytes);
    this.#vectors = vectors;
    this.#waiting = pending.map((each) => ({ ...each, isRecorded: false }));
  }
}

function isOf(waiting: Waiting, assignmentId: string, sha256: string | null): boolean {
  return waiting.assignmentId === assignmentId && waiting.sha256 === sha256;
}

/** Where one client in one run keeps its vectors: runs have ids that no other run has. */
export function keptKey(runId: string, clientId: string): string {
  return `${runId}.${clientId}`;
}
