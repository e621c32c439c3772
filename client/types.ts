/**
 * What a participant brings: the functions that `join` calls. Nothing here knows how the model is
 * computed; `client/tfjs` writes both functions for models in TF.js layers.
 */
import type { Task, TrainingConfig } from '../protocol/model.js';
import type { Role } from '../protocol/run.js';
import type { Metrics } from '../protocol/metrics.js';
import type { EvaluationReport } from '../protocol/update.js';

/** The values of a model: one flat, row-major array a tensor, by the names of `ModelSpec.tensors`. */
export type Params = Readonly<Record<string, Float32Array>>;

/** Vectors by name, each with an array a tensor. */
export type Vectors = Readonly<Record<string, Params>>;

export interface Progress {
  /** Share of the local work that is done, 0 to 1. */
  readonly fraction: number;
  /** Mean loss of the batches since the last report. */
  readonly loss?: number;
}

export interface TrainRequest {
  readonly task: Task;
  /** The received global model. Not to be written to: the delta is taken against it. */
  readonly model: Params;
  readonly config: TrainingConfig;
  /** Counted from 1. */
  readonly round: number;
  readonly role: Role;
  /** The same for the same run seed, round and client. */
  readonly seed: number;
  /**
   * Vectors over the shared tensors that the rule sent down with the model, such as `control`. One
   * that the rule works with and that is missing, as in the first round, is zero.
   */
  readonly broadcast?: Vectors;
  /** What this client kept in the last round that counted its update; empty at first. */
  readonly kept?: Vectors;
  /** Families of auxiliary vectors that the rule asks this client for, such as `batch`. */
  readonly vectors: readonly string[];
  /** Aborted when the round closes or the client stops. */
  readonly signal: AbortSignal;
  progress(report: Progress): void;
}

export interface TrainResult {
  /** The trained model, every tensor that was received. */
  readonly params: Params;
  readonly numExamples: number;
  /** Optimiser steps that were made, for rules that normalise by work; by default those asked for. */
  readonly numSteps?: number;
  readonly metrics?: Metrics;
  /** Auxiliary vectors by member name, such as `batch.0`, each over the shared tensors. */
  readonly vectors?: Vectors;
  /**
   * Vectors for this client alone, given back as `kept` once the round that this update is for has
   * counted it: SCAFFOLD's c_i. They never leave the client.
   */
  readonly keep?: Vectors;
}

/**
 * Trains the received model on local data.
 *
 * @throws the signal's reason, once it is aborted.
 */
export type TrainFunction = (request: TrainRequest) => Promise<TrainResult>;

export interface EvaluateRequest {
  readonly task: Task;
  /** The global model to judge. */
  readonly model: Params;
  readonly round: number;
  readonly signal: AbortSignal;
}

/**
 * Where a client keeps what must outlive it, `keep` of its results: a folder, a browser's database.
 * Under one key there are the bytes that were saved last.
 */
export interface ClientStorage {
  /** Null where nothing was saved under the key. */
  load(key: string): Promise<Uint8Array | null>;
  /** Resolves when the bytes would survive a crash. Never leaves half of them behind. */
  save(key: string, bytes: Uint8Array): Promise<void>;
  /** The run is over. Also called where nothing was saved. */
  remove(key: string): Promise<void>;
}

/** Judges the received model on local data: sums over examples, so that sites can be pooled. */
export type EvaluateFunction = (request: EvaluateRequest) => Promise<EvaluationReport>;
