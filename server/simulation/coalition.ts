/** Attackers that work together: they wait for the benign updates of a round, and see them all. */
import { flatten, sharedTensors, unflatten } from '../../client/params.js';
import type { Params, TrainFunction, TrainRequest } from '../../client/types.js';
import { TributaryError } from '../../protocol/errors.js';
import type { TensorSpec } from '../../protocol/model.js';
import { randomStream } from '../core/random.js';
import type { AttackView, BoundAttack } from './attacks/attack.js';

/** Wraps the training functions of one run. */
export class Coalition {
  readonly #shared: readonly TensorSpec[];
  /** Of the latest round only: memory must not grow with the rounds. */
  #benign = new Map<string, Float32Array>();
  #round = 0;

  /** @param clients of every round. */
  constructor(
    private readonly attack: BoundAttack,
    tensors: readonly TensorSpec[],
    private readonly clients: number,
  ) {
    this.#shared = sharedTensors(tensors);
  }

  /** An honest client that is overheard. */
  overheard(name: string, train: TrainFunction): TrainFunction {
    return async (request) => {
      const result = await train(request);
      if (request.round !== this.#round) this.#benign = new Map();
      this.#round = request.round;
      this.#benign.set(name, this.#delta(request.model, result.params));
      return result;
    };
  }

  /**
   * A client that sends what the attack makes of its honest update. Everything else that it sends,
   * numbers of examples and auxiliary vectors among them, stays as its training gave it.
   *
   * Must be called after the benign clients of the round.
   */
  attacking(train: TrainFunction): TrainFunction {
    const { forge } = this.attack;
    if (!forge) return train;
    return async (request) => {
      const result = await train(request);
      const own = this.#delta(request.model, result.params);
      const delta = forge(this.#view(request, own));
      return { ...result, params: { ...result.params, ...this.#moved(request.model, delta) } };
    };
  }

  #view({ round, seed }: TrainRequest, own: Float32Array): AttackView {
    const benign = round === this.#round ? [...this.#benign.entries()] : [];
    if (benign.length === 0) {
      const message = `attack "${this.attack.name}": round ${round} has no benign client`;
      throw new TributaryError('bad_request', message);
    }
    return {
      // By name: the order of arrival must not move a rounding error.
      benign: benign.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, update]) => update),
      own,
      clients: this.clients,
      attackers: this.clients - benign.length,
      random: randomStream(seed, 'attack'),
    };
  }

  #delta(model: Params, trained: Params): Float32Array {
    const before = flatten(model, this.#shared);
    return flatten(trained, this.#shared).map((value, i) => value - before[i]);
  }

  #moved(model: Params, delta: Float32Array): Params {
    const moved = flatten(model, this.#shared).map((value, i) => value + delta[i]);
    return unflatten(moved, this.#shared);
  }
}
