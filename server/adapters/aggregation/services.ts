/** What coordinator and aggregation worker do for each other, and what a worker is started with. */
import type { LossOracle } from '../../core/ports.js';
import type { AggregationInput, AggregationResult } from '../../engine/aggregation.js';
import type { Piece } from '../../engine/pieces.js';
import type { SharedRoom } from '../storage-room.js';

/** Where a thread of its own finds the blobs again, and the room that is left for them. */
export type BlobLocation = (
  | { readonly kind: 'directory'; readonly folder: string }
  | { readonly kind: 'postgres'; readonly url: string; readonly spoolDir: string }
) & { readonly room?: SharedRoom };

export interface WorkerSettings {
  readonly blobs: BlobLocation;
  /** In the pool: as many may work on one round. */
  readonly size: number;
}

/** Of the worker; asked for one at a time. */
export interface WorkerServices {
  aggregate(input: AggregationInput): Promise<AggregationResult>;
  /** For a round that another worker aggregates. */
  help(piece: Piece): Promise<void>;
}

export interface OracleQuestion {
  readonly params: Float32Array;
  readonly batch: number;
}

/** Of the coordinator: the oracle of the run that the worker aggregates. */
export interface OracleServices {
  /** @param buffers the tensors that are not shared, by name */
  openOracle(buffers: Readonly<Record<string, Float32Array>>): Promise<Pick<LossOracle, 'batches'>>;
  lossAndGrad(question: OracleQuestion): ReturnType<LossOracle['lossAndGrad']>;
  closeOracle(nothing: null): Promise<void>;
}

/** Of the coordinator, for the worker that aggregates. */
export interface CoordinatorServices extends OracleServices {
  /** Whether another worker did it. */
  offer(piece: Piece): Promise<boolean>;
}
