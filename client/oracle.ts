/** Loss and gradient on a client's own validation set, for rules that ask a target client. */
import type { Task } from '../protocol/model.js';
import type { Params } from './types.js';

/** An oracle that has its model. `params` and `grad` are flat over the shared tensors, in their order. */
export interface OpenOracle {
  /** Mean loss over the batch, counted from 0, and its gradient. */
  lossAndGrad(params: Float32Array, batch: number): Promise<{ loss: number; grad: Float32Array }>;
  dispose?(): void;
}

/** What a client offers to answer. */
export interface ClientOracle {
  /** Batches that its validation set makes; told to the coordinator before the task is known. */
  readonly batches: number;
  /**
   * Builds the model, before the first question and again when the buffers have changed.
   *
   * @param buffers The tensors that came with the question beside the shared ones: batch-norm
   * statistics, frozen layers. Empty where the model has none.
   */
  open(task: Task, buffers: Params): Promise<OpenOracle>;
}
