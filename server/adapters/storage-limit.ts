/**
 * A limit of our own on what blobs and uploads may take (TRIBUTARY_STORAGE_LIMIT_BYTES), so that
 * clients cannot fill a disk that others use too. They are refused before it is reached: what is left
 * is for the coordinator, whose next model sets the updates free that it was made from.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { BlobStore, StagedBlob } from '../core/ports.js';
import type { StorageRoom } from './storage-room.js';

/** Of the limit, what uploads may use. */
const UPLOADS_SHARE = 0.9;

/**
 * The store, counting what is stored through it and refusing what would go beyond the limit with
 * `storage_full`. A disk that is full is noted likewise.
 */
export function limited(
  blobs: BlobStore,
  room: StorageRoom,
  by: 'clients' | 'coordinator',
): BlobStore {
  const share = by === 'clients' ? UPLOADS_SHARE : 1;
  const mostBytes = Math.floor(room.shared.limitBytes * share);
  return {
    stage: async (source, maxBytes) => {
      const spooled = new Spooled(room, mostBytes);
      try {
        const staged = await noting(room, () => blobs.stage(spooled.counting(source), maxBytes));
        return counted(staged, spooled, blobs, room);
      } catch (error) {
        spooled.end();
        throw error;
      }
    },
    open: (sha256) => blobs.open(sha256),
    delete: async (sha256, storedBefore) => {
      const bytes = await sizeOf(sha256, blobs, room);
      await blobs.delete(sha256, storedBefore);
      if (bytes > 0 && (await sizeOf(sha256, blobs, room)) === 0) room.count(-bytes);
    },
    list: () => blobs.list(),
    tidy: () => blobs.tidy(),
  };
}

function counted(
  staged: StagedBlob,
  spooled: Spooled,
  blobs: BlobStore,
  room: StorageRoom,
): StagedBlob {
  const { sha256, bytes } = staged;
  return {
    sha256,
    bytes,
    get where() {
      return staged.where;
    },
    read: (start, length) => staged.read(start, length),
    readInto: (start, out) => staged.readInto(start, out),
    commit: async () => {
      const before = await sizeOf(sha256, blobs, room);
      await noting(room, () => staged.commit());
      spooled.end();
      room.count(bytes - before);
    },
    discard: async () => {
      await staged.discard();
      spooled.end();
    },
  };
}

async function noting<T>(room: StorageRoom, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work();
    room.stored();
    return result;
  } catch (error) {
    if (error instanceof TributaryError && error.code === 'storage_full') room.refused(error);
    throw error;
  }
}

/** 0 where it is not there, or damaged; and where nobody counts. */
async function sizeOf(
  sha256: string,
  blobs: Pick<BlobStore, 'open'>,
  { isLimited }: StorageRoom,
): Promise<number> {
  if (!isLimited) return 0;
  return blobs.open(sha256).then(
    ({ bytes }) => bytes,
    () => 0,
  );
}

/** What one upload takes while it is neither committed nor discarded. */
class Spooled {
  #bytes = 0;

  constructor(
    private readonly room: StorageRoom,
    private readonly mostBytes: number,
  ) {}

  async *counting(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      this.room.spool(chunk.byteLength, this.mostBytes);
      this.#bytes += chunk.byteLength;
      yield chunk;
    }
  }

  end(): void {
    this.room.unspool(this.#bytes);
    this.#bytes = 0;
  }
}
