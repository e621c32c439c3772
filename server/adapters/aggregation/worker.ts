/**
 * The thread that aggregates: it has blobs, kernels and rules of its own, so that nothing that a
 * round takes to compute or to read keeps the coordinator from answering. Started by
 * `workerAggregator`.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { TributaryError } from '../../../protocol/errors.js';
import type { BlobStore, OracleProvider } from '../../core/ports.js';
import type { Run } from '../../core/records.js';
import type { AggregationInput, AggregationResult } from '../../engine/aggregation.js';
import { aggregate } from '../../engine/aggregation.js';
import type { Helpers, Piece } from '../../engine/pieces.js';
import { SharedSums, doPiece } from '../../engine/pieces.js';
import { createBlockingBlobStore } from '../blob-blocking.js';
import { createPostgresBlobStore } from '../blob-postgres.js';
import { newKernels } from '../kernels.js';
import { storedRuleModules } from '../rule-modules.js';
import { limited } from '../storage-limit.js';
import { StorageRoom } from '../storage-room.js';
import { tfjsOracles } from '../tfjs-oracle.js';
import { Line } from './line.js';
import { askedOracles } from './oracle.js';
import type { CoordinatorServices, WorkerServices, WorkerSettings } from './services.js';

interface WorkerBlobs {
  readonly store: BlobStore;
  /** After each aggregation. */
  readonly release: () => void;
}

const CONNECTIONS = 2;
const WASM = 'tfjs-wasm-';

const settings = workerData as WorkerSettings;
const kernels = newKernels();
let blobs: Promise<WorkerBlobs> | null = null;

if (!parentPort) throw new TributaryError('internal', 'this file is the start of a worker thread');
const line = new Line<CoordinatorServices, WorkerServices>(parentPort, { aggregate: work, help });

const helpers: Helpers = {
  threads: settings.size,
  offer: (piece) => line.ask('offer', piece),
  sums: new SharedSums(),
};

function work(input: AggregationInput): Promise<AggregationResult> {
  return withBlobs((blobs) => {
    const oracles = oraclesOn(blobs);
    // Whether the run may bring a rule of its own was asked before it came here.
    const ruleModules = storedRuleModules(blobs);
    return aggregate(input, { blobs, oracles, kernels, ruleModules, helpers });
  });
}

function help(piece: Piece): Promise<void> {
  return withBlobs((blobs) => doPiece(piece, { blobs, kernels }));
}

async function withBlobs<T>(work: (blobs: BlobStore) => Promise<T>): Promise<T> {
  const { store, release } = await openedBlobs();
  try {
    return await work(store);
  } finally {
    release();
  }
}

/** Opened when first needed, and again where that failed. */
function openedBlobs(): Promise<WorkerBlobs> {
  blobs ??= openBlobs(settings).catch((error: unknown) => {
    blobs = null;
    throw error;
  });
  return blobs;
}

/** What it stores counts as the coordinator's own. */
async function openBlobs(settings: WorkerSettings): Promise<WorkerBlobs> {
  const { store, release } = await openPlainBlobs(settings);
  const { room } = settings.blobs;
  return { store: room ? limited(store, new StorageRoom(room), 'coordinator') : store, release };
}

async function openPlainBlobs({ blobs: at }: WorkerSettings): Promise<WorkerBlobs> {
  if (at.kind === 'directory') {
    const store = await createBlockingBlobStore(at.folder);
    return { store, release: () => store.closeFiles() };
  }
  const { url, spoolDir } = at;
  const store = await createPostgresBlobStore({ url, spoolDir, connections: CONNECTIONS });
  return { store, release: () => undefined };
}

/**
 * Proxy sets are computed on here. With other backends than wasm they are not: tfjs-node lives in one
 * thread of a process only, and others may be registered in the coordinator's alone. The backend is
 * the one that is recorded with the run.
 */
function oraclesOn(store: BlobStore): OracleProvider {
  const proxy = tfjsOracles(store, 'wasm');
  const asked = askedOracles(line);
  const isOurs = ({ spec, oracle }: Run): boolean =>
    spec.oracle?.kind === 'proxy' && oracle?.startsWith(WASM) === true;
  return {
    describe: (run) => proxy.describe(run),
    open: (run, buffers) => (isOurs(run) ? proxy : asked).open(run, buffers),
  };
}
