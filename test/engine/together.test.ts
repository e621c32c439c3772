/** A large round whose pieces are shared out: the same bits, whoever does what. */
import { setImmediate } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createWasmKernels } from '../../server/adapters/wasm-kernels.js';
import { emptyContribution, foldScale } from '../../server/core/kernels/fold.js';
import { referenceKernels } from '../../server/core/kernels/reference.js';
import { TILE } from '../../server/core/layout.js';
import type { BlobStore } from '../../server/core/ports.js';
import type { UpdateReader } from '../../server/core/rules/rule.js';
import type { AggregationInput } from '../../server/engine/aggregation.js';
import { aggregate } from '../../server/engine/aggregation.js';
import type { Helpers, Piece } from '../../server/engine/pieces.js';
import { SharedSums, doPiece } from '../../server/engine/pieces.js';
import { foldTogether } from '../../server/engine/together.js';
import { Gate } from '../support/gate.js';
import type { LargeRoundOptions } from '../support/large-round.js';
import { largeRound } from '../support/large-round.js';

/** 25 MiB of deltas: three pieces of 8 MiB, or two that are larger. A last tile that is cut short. */
const SIZE = 16 * TILE - 100;
const UPDATES = 25;

const blobs = createMemoryBlobStore();
const oracles = {
  describe: () => 'none',
  open: () => Promise.reject(new Error('there is none')),
};

function aggregated(input: AggregationInput, helpers?: Helpers, store: BlobStore = blobs) {
  const kernels = createWasmKernels();
  return aggregate(input, { blobs: store, oracles, kernels, ...(helpers && { helpers }) });
}

/** Helpers as other threads are: with kernels of their own, and nothing in common but shared memory. */
class Elsewhere implements Helpers {
  readonly offered: Piece[] = [];
  readonly sums = new SharedSums();
  readonly #kernels = createWasmKernels();

  constructor(
    readonly threads: number,
    private readonly takes: (offer: number) => boolean,
  ) {}

  async offer(piece: Piece): Promise<boolean> {
    const isTaken = this.takes(this.offered.push(piece) - 1);
    await setImmediate();
    if (isTaken) await doPiece(structuredClone(piece), { blobs, kernels: this.#kernels });
    return isTaken;
  }
}

describe('a large round that is shared out', () => {
  const choices: [string, Omit<LargeRoundOptions, 'updates' | 'size'>][] = [
    ['fedavg', {}],
    ['scaffold', { rule: { name: 'scaffold' }, vectors: ['control'] }],
    ['median', { rule: { name: 'median' } }],
  ];

  it.each(choices)('has the bits of one that is not, under %s', async (_, choice) => {
    const input = await largeRound(blobs, { updates: UPDATES, size: SIZE, ...choice });
    const alone = await aggregated(input);
    const willing = [() => true, () => false, (offer: number) => offer % 2 === 0];
    for (const takes of willing) {
      for (const threads of [2, 3]) {
        const helpers = new Elsewhere(threads, takes);
        expect(await aggregated(input, helpers)).toEqual(alone);
        expect(helpers.offered.length).toBeGreaterThanOrEqual(threads - 1);
      }
    }
  });

  it('is cut into stretches of whole tiles that cover it once', async () => {
    const input = await largeRound(blobs, { updates: UPDATES, size: SIZE });
    const helpers = new Elsewhere(3, () => true);
    await aggregated(input, helpers);
    const cuts = helpers.offered.flatMap((piece) => {
      return piece.kind === 'fold' ? [[piece.from, piece.to]] : [];
    });
    // The first is kept.
    expect(cuts).toEqual([
      [6 * TILE, 12 * TILE],
      [12 * TILE, SIZE],
    ]);
    const verified = helpers.offered.flatMap((piece) => {
      return piece.kind === 'verify' ? piece.blobs.map(({ update }) => update) : [];
    });
    expect(verified).toEqual(input.accepted.slice(9).map(({ id }) => id));
  });

  it('is not shared out where it is small, or nobody is there', async () => {
    const input = await largeRound(blobs, { updates: 3, size: SIZE });
    const alone = await aggregated(input);
    const helpers = new Elsewhere(8, () => true);
    expect(await aggregated(input, helpers)).toEqual(alone);
    expect(helpers.offered).toEqual([]);
    const large = await largeRound(blobs, { updates: UPDATES, size: SIZE });
    const single = new Elsewhere(1, () => true);
    expect(await aggregated(large, single)).toEqual(await aggregated(large));
    expect(single.offered).toEqual([]);
  });
});

describe('a piece that fails', () => {
  let input: AggregationInput;
  beforeAll(async () => {
    input = await largeRound(blobs, { updates: UPDATES, size: SIZE });
  });

  it.each([0, 12, UPDATES - 1])('names the update that is damaged: number %i', async (k) => {
    const { id, update } = input.accepted[k];
    const store: BlobStore = {
      ...blobs,
      open: async (sha256) => {
        const blob = await blobs.open(sha256);
        if (sha256 !== update!.sha256) return blob;
        const readInto = async (start: number, out: Uint8Array): Promise<void> => {
          await blob.readInto(start, out);
          out[0] ^= 1;
        };
        return { ...blob, readInto };
      },
    };
    const helpers: Helpers = {
      threads: 3,
      sums: new SharedSums(),
      offer: async (piece) => {
        await doPiece(piece, { blobs: store, kernels: referenceKernels });
        return true;
      },
    };
    await expect(aggregated(input, helpers, store)).rejects.toMatchObject({
      code: 'blob_damaged',
      details: { blob: update!.sha256, update: id },
    });
  });

  it('ends the round, once nobody adds to its sums any more', async () => {
    const [gate, failed] = [new Gate(), new Gate()];
    let isWorking = true;
    const helpers: Helpers = {
      threads: 3,
      sums: new SharedSums(),
      offer: async (piece) => {
        if (piece.kind === 'verify') return false;
        if (piece.to < SIZE) {
          failed.open();
          throw new Error('the thread died');
        }
        await gate.pass();
        isWorking = false;
        return true;
      },
    };
    const ended = aggregated(input, helpers).then(
      () => 'stored',
      (error: unknown) => `${String(error)}, working: ${isWorking}`,
    );
    await failed.pass();
    await setImmediate();
    const first = await Promise.race([ended, setImmediate('under way')]);
    gate.open();
    expect(first).toBe('under way');
    expect(await ended).toBe('Error: the thread died, working: false');
  });
});

describe('shared sums', () => {
  it('are zeros each time, in the same memory', () => {
    const sums = new SharedSums();
    const first = sums.take(5).fill(7n);
    const second = sums.take(3);
    expect(second.buffer).toBe(first.buffer);
    expect(Array.from(second)).toEqual([0n, 0n, 0n]);
    expect(Array.from(sums.take(6))).toEqual(Array(6).fill(0n));
  });

  it('are not used again where a piece failed: its thread may still add to them', async () => {
    const input = await largeRound(blobs, { updates: UPDATES, size: SIZE });
    const late: BigInt64Array[] = [];
    const kernels = createWasmKernels();
    const helpers: Helpers = {
      threads: 2,
      sums: new SharedSums(),
      offer: async (piece) => {
        if (piece.kind === 'verify') return false;
        late.forEach((terms) => terms.fill(99n));
        if (late.push(piece.terms) === 1) throw new Error('the thread is being ended');
        await doPiece(piece, { blobs, kernels });
        late[0].fill(99n);
        return true;
      },
    };
    await expect(aggregated(input, helpers)).rejects.toThrow('the thread is being ended');
    expect(await aggregated(input, helpers)).toEqual(await aggregated(input));
    expect(late).toHaveLength(2);
  });
});

describe('updates that are not files', () => {
  it('are folded where they are', async () => {
    const layout = { tensors: [{ name: 'w', start: 0, length: SIZE }], size: SIZE };
    const fold = foldScale({ cohortMax: 4096, weightMax: 2 ** 17, deltaMax: 8 });
    const helpers = new Elsewhere(4, () => true);
    const parts = { blobs, kernels: createWasmKernels(), helpers };
    const halves = new Float32Array(SIZE).fill(0.5);
    const update = {
      clientId: 'ada',
      vectors: ['delta'],
      read: (_: string, start: number, length: number) =>
        Promise.resolve(halves.subarray(start, start + length)),
    } as unknown as UpdateReader;
    const { terms } = emptyContribution(SIZE);
    const weighted = Array.from({ length: UPDATES }, () => ({ update, weight: 2 }));
    await foldTogether([], layout, fold, parts)(terms, 'delta', weighted);
    const expected = BigInt(UPDATES) << BigInt(fold.termBits);
    expect(terms.every((term) => term === expected)).toBe(true);
    expect(helpers.offered).toEqual([]);
  });
});
