/**
 * A client in the coordinator's own process: it trains with the same functions and sends the same
 * bytes as one that joins over the network, but reads checkpoints from the blob store and hands its
 * uploads to the engine.
 */
import { abortReason } from '../../client/abort.js';
import { copyParams, copyVectors, readParams, readVectors } from '../../client/checkpoint.js';
import { sha256Of } from '../../client/digest.js';
import { Kept, keptKey } from '../../client/kept.js';
import { sharedTensors } from '../../client/params.js';
import { SharedCache } from '../../client/shared-cache.js';
import type { EvaluateFunction, Params, TrainFunction, Vectors } from '../../client/types.js';
import { encodeUpdate } from '../../client/update.js';
import type { Assignment, RunState, Weighed } from '../../protocol/messages.js';
import type { Task } from '../../protocol/model.js';
import type { Receipt } from '../../protocol/update.js';
import type { Loopback } from '../adapters/loopback.js';
import type { BlobStore } from '../core/ports.js';
import type { Client } from '../core/records.js';
import { streamOf } from '../engine/checkpoints.js';
import type { Engine } from '../engine/engine.js';
import type { Schedule } from './schedule.js';

/** Checkpoints that are kept decoded: all clients of a round start from the same one. */
const CACHED_CHECKPOINTS = 2;

/** What the clients of one simulated run share. */
export interface SimulatedNetwork {
  readonly engine: Engine;
  readonly loopback: Loopback;
  readonly blobs: BlobStore;
  readonly task: Task;
  readonly schedule: Schedule;
}

export interface SimulatedClientOptions {
  readonly client: Client;
  readonly train?: TrainFunction;
  readonly evaluate?: EvaluateFunction;
  /** Works after the others of its round: see {@link Schedule}. */
  readonly last?: boolean;
  onReceipt?(receipt: Receipt): void;
  onWeighed?(message: Weighed): void;
  onRun?(state: RunState): void;
  /** Local work that failed: the assignment was declined. */
  onFailure?(error: unknown, assignment: Assignment): void;
}

export interface SimulatedClients {
  /** Connects a client; resolves with a function that takes it off, as a closed tab would. */
  readonly connect: (options: SimulatedClientOptions) => Promise<() => void>;
}

/** What all clients of a round start from, decoded once. */
interface Decoded {
  readonly models: SharedCache<Params>;
  readonly broadcasts: SharedCache<Vectors>;
}

/** Clients of one network: they share decoded checkpoints. */
export function simulatedClients(network: SimulatedNetwork): SimulatedClients {
  const decoded: Decoded = {
    models: new SharedCache(CACHED_CHECKPOINTS),
    broadcasts: new SharedCache(CACHED_CHECKPOINTS),
  };
  return {
    connect: (options) => new SimulatedClient(options, network, decoded).connect(),
  };
}

class SimulatedClient {
  /** By assignment. Kept for good: an assignment may be told twice, and is done once. */
  readonly #taken = new Map<string, AbortController>();
  readonly #kept = new Kept();

  constructor(
    private readonly options: SimulatedClientOptions,
    private readonly network: SimulatedNetwork,
    private readonly decoded: Decoded,
  ) {}

  async connect(): Promise<() => void> {
    const { client, train, evaluate } = this.options;
    const abilities = { trains: !!train, evaluates: !!evaluate, oracleBatches: 0 };
    const disconnect = await this.network.loopback.connect(client, abilities, {
      assignment: (assignment) => this.#take(assignment),
      closed: ({ assignmentId, reason }) =>
        this.#taken.get(assignmentId)?.abort(abortReason(reason)),
      weighed: (message) => {
        this.#kept.counted(message.assignmentId);
        this.options.onWeighed?.(message);
      },
      run: (state) => this.options.onRun?.(state),
      goodbye: ({ message }) => this.#stop(message),
    });
    return () => {
      disconnect();
      this.#stop('the client left');
    };
  }

  #stop(reason: string): void {
    for (const controller of this.#taken.values()) controller.abort(abortReason(reason));
  }

  #take(assignment: Assignment): void {
    if (this.#taken.has(assignment.id)) return;
    const controller = new AbortController();
    this.#taken.set(assignment.id, controller);
    const { signal } = controller;
    const attempt = <T>(work: () => Promise<T>): Promise<T | undefined> =>
      this.#orDecline(assignment, signal, work);
    this.network.schedule.add({
      clientId: this.options.client.id,
      round: assignment.round,
      last: this.options.last ?? false,
      compute: async () => {
        const deliver = await attempt(() => this.#work(assignment, signal));
        return async () => {
          if (deliver) await attempt(deliver);
        };
      },
    });
  }

  #work(assignment: Assignment, signal: AbortSignal): Promise<() => Promise<void>> {
    return assignment.kind === 'train'
      ? this.#train(assignment, signal)
      : this.#evaluate(assignment, signal);
  }

  /** A failure must end the assignment: the round would wait for it until its deadline. */
  async #orDecline<T>(
    assignment: Assignment,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      signal.throwIfAborted();
      return await work();
    } catch (error) {
      if (signal.aborted) return undefined;
      this.options.onFailure?.(error, assignment);
      const reason = error instanceof Error ? error.message : String(error);
      await this.network.engine.decline(this.options.client, assignment.id, reason);
      return undefined;
    }
  }

  async #train(assignment: Assignment, signal: AbortSignal): Promise<() => Promise<void>> {
    const { engine, blobs, task } = this.network;
    const { client, train } = this.options;
    if (!train) throw new Error('this client does not train');
    const { id, round, seed, vectors, training: config } = assignment;
    const model = await this.#model(assignment, signal);
    const broadcast = await this.#broadcast(assignment, signal);
    const place = { key: keptKey(client.runId, client.id), assignmentId: id };
    const kept = await this.#kept.recall(place, (pending) => engine.weightGiven(client, pending));
    const result = await train({
      task,
      // A copy: a function that trains in place would spoil the other clients' model.
      model: copyParams(model),
      config,
      round,
      role: client.role,
      seed,
      broadcast,
      kept,
      vectors,
      signal,
      progress: () => undefined,
    });
    const update = encodeUpdate(assignment, task.model.tensors, model, result);
    return async () => {
      if (result.keep) await this.#kept.hold(id, await sha256Of(update), result.keep);
      const limit = await engine.maxUploadBytes(client, id);
      const staged = await blobs.stage(streamOf([update]), limit);
      const receipt = await engine.submit(client, id, staged);
      this.#kept.recorded(receipt);
      this.options.onReceipt?.(receipt);
    };
  }

  async #evaluate(assignment: Assignment, signal: AbortSignal): Promise<() => Promise<void>> {
    const { engine, task } = this.network;
    const { client, evaluate } = this.options;
    if (!evaluate) throw new Error('this client does not evaluate');
    const model = copyParams(await this.#model(assignment, signal));
    const report = await evaluate({ task, model, round: assignment.round, signal });
    return async () => {
      await engine.report(client, assignment.id, report);
    };
  }

  #model({ checkpoint }: Assignment, signal: AbortSignal): Promise<Params> {
    const { tensors } = this.network.task.model;
    const load = async (): Promise<Params> =>
      readParams(await this.#file(checkpoint.sha256), tensors);
    return this.decoded.models.get(checkpoint.sha256, load, signal);
  }

  /** A copy, as that of the model. */
  async #broadcast({ broadcast }: Assignment, signal: AbortSignal): Promise<Vectors> {
    if (!broadcast) return {};
    const shared = sharedTensors(this.network.task.model.tensors);
    const load = async (): Promise<Vectors> =>
      readVectors(await this.#file(broadcast.sha256), shared);
    return copyVectors(await this.decoded.broadcasts.get(broadcast.sha256, load, signal));
  }

  async #file(sha256: string): Promise<Uint8Array> {
    const blob = await this.network.blobs.open(sha256);
    return blob.read(0, blob.bytes);
  }
}
