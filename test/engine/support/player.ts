/** A client that does what a good client does, and can be told to do otherwise. */
import { readParams } from '../../../client/checkpoint.js';
import { encodeUpdate } from '../../../client/update.js';
import { TributaryError } from '../../../protocol/errors.js';
import type { Assignment, RunState, Weighed } from '../../../protocol/messages.js';
import type { Receipt } from '../../../protocol/update.js';
import type { StagedBlob } from '../../../server/core/ports.js';
import type { Client } from '../../../server/core/records.js';
import { readAll } from '../../../server/engine/checkpoints.js';
import type { Engine } from '../../../server/engine/engine.js';
import { plainEvaluator, plainTask, plainTrainer } from '../../support/plain-task.js';
import type { Life, World } from './world.js';

/** Who is turned away asks again after so long. */
export const RETRY_MS = 700;

type Manner = (assignment: Assignment, player: Player) => 'answer' | 'ignore';

export class Player {
  present = false;
  /** What it does with an assignment. */
  manner: Manner = () => 'answer';
  abilities = { trains: true, evaluates: true, oracleBatches: 0 };
  readonly assigned: Assignment[] = [];
  readonly receipts: Receipt[] = [];
  readonly reports: string[] = [];
  readonly weights: Weighed[] = [];
  readonly closed: string[] = [];
  readonly heard: RunState[] = [];
  readonly errors: TributaryError[] = [];
  /** Work that has no answer yet. */
  readonly #open = new Map<string, Assignment>();

  constructor(
    readonly world: World,
    readonly client: Client,
    readonly numExamples: number,
  ) {
    this.abilities.trains = client.role !== 'evaluator';
  }

  async connect(): Promise<void> {
    this.present = true;
    const { engine } = await this.#life();
    for (const each of this.#engines()) each.joined({ ...this.client, ...this.abilities });
    // A process that dies meanwhile never answers.
    void engine.welcome(this.client).then(
      ({ assignments: listed }) => {
        for (const known of this.#open.values()) void this.answer(known);
        for (const assignment of listed) this.take(assignment);
        void this.#welcome();
      },
      () => this.world.clock.wakeAt(this.world.clock.now() + RETRY_MS, () => void this.connect()),
    );
    await this.world.settle();
  }

  /** What the gateway's welcome says. */
  async #welcome(): Promise<void> {
    const { status, spec } = (await this.world.store.run(this.client.runId))!;
    this.heard.push({ status, round: 0, rounds: spec.rounds, version: 0 });
  }

  /** Goes away, and the engines hear of it. */
  leave(): void {
    this.present = false;
    for (const engine of this.#engines()) engine.left(this.client);
  }

  /** The connection is gone with the process. */
  cut(): void {
    this.present = false;
  }

  /** Says that it is at work, as the gateway passes it on. */
  beat(): void {
    for (const id of this.#open.keys()) {
      for (const engine of this.#engines()) engine.heard(this.client, id);
    }
  }

  take(assignment: Assignment): void {
    if (this.assigned.some(({ id }) => id === assignment.id)) {
      if (!this.#open.has(assignment.id)) return;
    } else {
      this.assigned.push(assignment);
    }
    this.#open.set(assignment.id, assignment);
    if (this.manner(assignment, this) === 'answer') void this.answer(assignment);
  }

  close(id: string): void {
    this.#open.delete(id);
    this.closed.push(id);
  }

  /** Does the work and hands it in, again and again until there is an answer. */
  async answer(assignment: Assignment): Promise<void> {
    try {
      if (assignment.kind === 'train') await this.upload(assignment);
      else await this.report(assignment);
      this.#open.delete(assignment.id);
    } catch (error) {
      if (!(error instanceof TributaryError)) throw error;
      this.errors.push(error);
      if (!error.retryable) this.#open.delete(assignment.id);
      const later = this.world.clock.now() + RETRY_MS;
      this.world.clock.wakeAt(later, () => {
        if (this.present && this.#open.has(assignment.id)) void this.answer(assignment);
      });
    }
  }

  async upload(assignment: Assignment, bytes?: Uint8Array): Promise<Receipt> {
    const content = bytes ?? (await this.update(assignment));
    const life = await this.#life();
    const staged = await this.stage(content, life);
    const receipt = await life.engine.submit(this.client, assignment.id, staged);
    this.receipts.push(receipt);
    return receipt;
  }

  stage(content: Uint8Array, { storage }: Life): Promise<StagedBlob> {
    // eslint-disable-next-line @typescript-eslint/require-await -- a stream of one chunk
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield content;
    };
    return storage.blobs.stage(source(), content.byteLength);
  }

  /** The bytes of a good update. */
  async update(assignment: Assignment): Promise<Uint8Array> {
    const { tensors } = plainTask.model;
    const blob = await this.world.blobs.open(assignment.checkpoint.sha256);
    const model = readParams(await readAll(blob), tensors);
    const result = await plainTrainer(
      this.client.id,
      this.numExamples,
    )({
      task: plainTask,
      model,
      config: assignment.training,
      round: assignment.round,
      role: this.client.role,
      seed: assignment.seed,
      vectors: assignment.vectors,
      signal: new AbortController().signal,
      progress: () => undefined,
    });
    return encodeUpdate(assignment, tensors, model, result);
  }

  async report(assignment: Assignment): Promise<void> {
    const blob = await this.world.blobs.open(assignment.checkpoint.sha256);
    const model = readParams(await readAll(blob), plainTask.model.tensors);
    const report = await plainEvaluator(
      this.client.id,
      this.numExamples,
    )({
      task: plainTask,
      model,
      round: assignment.round,
      signal: new AbortController().signal,
    });
    const life = await this.#life();
    const taken = await life.engine.report(this.client, assignment.id, report);
    this.reports.push(`${assignment.round} ${taken}`);
  }

  /** Where nobody lives, there is no answer, and the client will connect again. */
  #life(): Promise<Life> {
    const life = this.#lives().at(0);
    return life ? Promise.resolve(life) : new Promise(() => undefined);
  }

  /** Living processes, the one that this client's requests reach first: they are spread by name. */
  #lives(): Life[] {
    const alive = this.world.lives.filter((life) => life.alive);
    const first = this.client.id.length % alive.length;
    return [...alive.slice(first), ...alive.slice(0, first)];
  }

  #engines(): Engine[] {
    return this.#lives().map(({ engine }) => engine);
  }
}
