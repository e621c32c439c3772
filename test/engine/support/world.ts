/**
 * A coordinator in a world of its own: storage in memory, time that a test moves, and clients that
 * do what a good client does: they train at once, resend until they have a receipt, and come back
 * after the coordinator died. Nothing waits for real time, so a stall shows: nobody is to be woken.
 */
import { TributaryError } from '../../../protocol/errors.js';
import type { RunState } from '../../../protocol/messages.js';
import type { Role, RunSpecInput } from '../../../protocol/run.js';
import { createMemoryBlobStore } from '../../../server/adapters/blob-memory.js';
import { createMemoryStore } from '../../../server/adapters/memory-store.js';
import type { OracleProvider, Presence, Transport } from '../../../server/core/ports.js';
import type { Run } from '../../../server/core/records.js';
import type { Aggregator } from '../../../server/engine/aggregator.js';
import { putBlob } from '../../../server/engine/checkpoints.js';
import { createEngine } from '../../../server/engine/create-engine.js';
import type { Engine } from '../../../server/engine/engine.js';
import { initialModel, plainRun } from '../../support/plain-task.js';
import { VirtualClock } from '../../support/virtual-clock.js';
import type { FaultyStorage, Plan } from './faults.js';
import { faultless, faulty } from './faults.js';
import { Player, RETRY_MS } from './player.js';

/** More turns than any test needs. */
const MOST_TURNS = 2_000;

const noOracles: OracleProvider = {
  describe: () => 'none',
  open: () => Promise.reject(new TributaryError('rule_needs', 'there is no oracle here')),
};

export interface WorldOptions {
  readonly spec?: Partial<RunSpecInput>;
  /** By name; three sources `ada`, `Bo`, `cyd` where nothing is said. */
  readonly clients?: Readonly<Record<string, Role>>;
  readonly oracles?: OracleProvider;
  /** In this thread, where nothing is said. */
  readonly aggregator?: Aggregator;
}

/** One process of the coordinator. */
export interface Life {
  readonly engine: Engine;
  readonly storage: FaultyStorage;
  alive: boolean;
  readonly death: Promise<void>;
  /** What it logged, at `warn` and above. */
  readonly complaints: string[];
}

export class World {
  readonly clock = new VirtualClock();
  readonly store = createMemoryStore();
  readonly blobs = createMemoryBlobStore(() => this.clock.now());
  readonly lives: Life[] = [];
  readonly players = new Map<string, Player>();
  readonly announced: RunState[] = [];
  run!: Run;
  /** How long each call of the storage takes, by its name and the number of the process. */
  pause: (name: string, life: number) => Promise<void> = () => Promise.resolve();
  readonly #oracles: OracleProvider;
  readonly #aggregator: Aggregator | undefined;

  private constructor({ oracles = noOracles, aggregator }: WorldOptions) {
    this.#oracles = oracles;
    this.#aggregator = aggregator;
  }

  /** Creates the run and enrols its clients; nobody is connected, and no engine runs yet. */
  static async create(options: WorldOptions = {}): Promise<World> {
    const world = new World(options);
    const clients = options.clients ?? { ada: 'source', Bo: 'source', cyd: 'source' };
    const founder = world.boot();
    const { sha256 } = await putBlob(world.blobs, initialModel);
    const trainers = Object.values(clients).filter((role) => role !== 'evaluator').length;
    const spec = { ...plainRun(trainers, options.spec), init: { blob: sha256 } };
    world.run = await founder.engine.createRun(spec);
    for (const [name, role] of Object.entries(clients)) {
      const { client } = await founder.engine.enrol(world.run.id, name, role);
      world.players.set(name, new Player(world, client, 11 + 7 * world.players.size));
    }
    await founder.engine.close();
    world.lives.pop();
    return world;
  }

  /** A new process on the same storage. Takes nothing up yet: `engine.start` does. */
  boot(plan: Plan = faultless): Life {
    const complaints: string[] = [];
    const complain = (facts: object, message: string): void => {
      const { err } = facts as { err?: unknown };
      complaints.push(err instanceof Error ? `${message}: ${err.message}` : message);
    };
    const log = { info: () => undefined, warn: complain, error: complain };
    let die!: () => void;
    const death = new Promise<void>((resolve) => (die = resolve));
    const onDeath = (): void => {
      life.alive = false;
      die();
    };
    const number = this.lives.length;
    const pause = (name: string): Promise<void> => this.pause(name, number);
    const storage = faulty(this, { plan, onDeath, pause });
    const isAlive = (): boolean => life.alive;
    const engine = createEngine({
      store: storage.store,
      blobs: storage.blobs,
      transport: this.#transport(isAlive),
      clock: this.#clockOf(isAlive),
      oracles: this.#oracles,
      ...(this.#aggregator && { aggregator: this.#aggregator }),
      log,
    });
    const life: Life = { engine, storage, alive: true, death, complaints };
    this.lives.push(life);
    return life;
  }

  /** A process with everybody connected to it. */
  async open(plan?: Plan): Promise<Life> {
    const life = this.boot(plan);
    await Promise.race([life.engine.start(), life.death]);
    for (const player of this.players.values()) if (life.alive) await player.connect();
    return life;
  }

  /** Lets things happen for a moment, though a call may be held up. */
  async moment(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Makes everybody present at once, and the engines look. */
  gather(): void {
    for (const player of this.players.values()) player.present = true;
    for (const { client, abilities } of this.players.values()) {
      for (const { engine } of this.lives) engine.joined({ ...client, ...abilities });
    }
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.lives.some(({ storage }) => storage.underWay() > 0)) quiet = 0;
    }
  }

  /** Moves time to the next moment at which somebody wants to be woken. */
  async turn(): Promise<void> {
    const { next } = this.clock;
    if (next === null) throw new Error(`stalled: ${await this.standing()}`);
    this.clock.advanceTo(next);
    await this.settle();
  }

  async pass(ms: number): Promise<void> {
    const until = this.clock.now() + ms;
    await this.settle();
    for (let i = 0; this.clock.next !== null && this.clock.next <= until; i++) {
      if (i > MOST_TURNS) throw new Error(`turns in circles: ${await this.standing()}`);
      await this.turn();
    }
    this.clock.advanceTo(until);
    await this.settle();
  }

  /** Plays until `done`, or until the run is over. A process that died is followed by another. */
  async play(done = () => this.isOver()): Promise<void> {
    await this.settle();
    for (let turns = 0; this.#isDeserted || !(await done()); turns++) {
      if (turns > MOST_TURNS) throw new Error(`turns in circles: ${await this.standing()}`);
      if (this.#isDeserted) await this.#again();
      else await this.turn();
    }
    await this.settle();
  }

  get #isDeserted(): boolean {
    return this.lives.every(({ alive }) => !alive);
  }

  async #again(): Promise<void> {
    for (const player of this.players.values()) player.cut();
    this.clock.advanceTo(this.clock.now() + RETRY_MS);
    await this.open();
    await this.settle();
  }

  async isOver(): Promise<boolean> {
    return (await this.store.run(this.run.id))?.status !== 'running';
  }

  async standing(): Promise<string> {
    const round = await this.store.currentRound(this.run.id);
    const now = this.lives.map(({ engine }) => engine.now(this.run.id)).join(' | ');
    return `round ${round?.number}.${round?.attempt} is ${round?.phase}; ${now}`;
  }

  player(name: string): Player {
    return this.players.get(name)!;
  }

  /** Model and state of every version. */
  async checkpoints(): Promise<string[]> {
    const found: string[] = [];
    for (let version = 0; ; version++) {
      const checkpoint = await this.store.checkpoint(this.run.id, version);
      if (!checkpoint) return found;
      found.push(`${checkpoint.sha256} ${checkpoint.stateSha256}`);
    }
  }

  /** All that may not depend on who died when: models, receipts, weights, evaluations, ledger. */
  async record(): Promise<Record<string, unknown>> {
    const rounds = await this.store.rounds(this.run.id);
    const evaluations = rounds.map(({ evaluation }) => evaluation);
    const status = (await this.store.run(this.run.id))?.status;
    return {
      ...{ status, checkpoints: await this.checkpoints(), outcomes: await this.outcomes() },
      ...{ phases: await this.phases(), evaluations, ledger: await this.ledger() },
    };
  }

  /** Receipts that the store does not know of, and clients that were not told of the end. */
  async brokenPromises(): Promise<string[]> {
    const broken: string[] = [];
    for (const { client, receipts, heard } of this.players.values()) {
      for (const { assignmentId, round, status, sha256 } of receipts) {
        const stored = await this.store.assignment(assignmentId);
        if (stored?.state === status && stored.update?.sha256 === sha256) continue;
        broken.push(`the receipt of ${client.id} for round ${round} is not stored`);
      }
      if ((await this.isOver()) && heard.at(-1)?.status === 'running') {
        broken.push(`${client.id} does not know that the run is over`);
      }
    }
    return broken;
  }

  /** `1.1 train ada accepted 0.25`, for all assignments of all attempts. */
  async outcomes(): Promise<string[]> {
    const rounds = await this.store.rounds(this.run.id);
    const lists = rounds.map(async ({ round: { number, attempt } }) => {
      const records = await this.store.assignments(this.run.id, number, attempt);
      return records.map(({ kind, clientId, state, update }) =>
        [`${number}.${attempt}`, kind, clientId, state, update?.weight ?? '-'].join(' '),
      );
    });
    return (await Promise.all(lists)).flat();
  }

  async phases(): Promise<string[]> {
    const rounds = await this.store.rounds(this.run.id);
    return rounds.map(({ round: { number, attempt, phase } }) => `${number}.${attempt} ${phase}`);
  }

  async ledger(): Promise<string[]> {
    return (await this.store.events(this.run.id)).map(({ type }) => type);
  }

  /** Updates that were recorded, and whose bytes are still there. */
  async leftovers(): Promise<string[]> {
    const rounds = await this.store.rounds(this.run.id);
    const left: string[] = [];
    for (const { round } of rounds) {
      for (const { id, clientId, update } of await this.store.assignments(
        this.run.id,
        round.number,
        round.attempt,
      )) {
        const isThere = update && (await this.blobs.open(update.sha256).catch(() => null));
        if (isThere) left.push(`${round.number}.${round.attempt} ${clientId} ${id}`);
      }
    }
    return left;
  }

  /** Engines that see each other's clients: one presence for all. */
  present(): Presence[] {
    return [...this.players.values()].flatMap((player) =>
      player.present ? [{ ...player.client, ...player.abilities }] : [],
    );
  }

  #transport(isAlive: () => boolean): Transport {
    const tell = (clientId: string, message: (player: Player) => void): void => {
      if (!isAlive()) return;
      queueMicrotask(() => {
        const player = this.players.get(clientId);
        if (player?.present) message(player);
      });
    };
    return {
      present: () => this.present(),
      assign: (clientId, assignment) => tell(clientId, (player) => player.take(assignment)),
      closed: (_run, clientId, id) => tell(clientId, (player) => player.close(id)),
      weighed: (_run, clientId, message) => tell(clientId, (p) => void p.weights.push(message)),
      announce: (_run, state) => {
        if (!isAlive()) return;
        this.announced.push(state);
        for (const [clientId] of this.players) tell(clientId, (p) => void p.heard.push(state));
      },
    };
  }

  /** The timers of a process die with it. */
  #clockOf(isAlive: () => boolean): Pick<VirtualClock, 'now' | 'wakeAt'> {
    return {
      now: () => this.clock.now(),
      wakeAt: (at, callback) =>
        this.clock.wakeAt(at, () => {
          if (isAlive()) callback();
        }),
    };
  }
}
