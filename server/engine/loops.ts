/** The loops of all runs: at work while this coordinator leads, none at all while it stands by. */
import { isLive } from '../../protocol/run.js';
import type { Run } from '../core/records.js';
import type { EngineTools } from './engine.js';
import { releaseEnded } from './recovery.js';
import { RunLoop } from './run-loop.js';

export class Loops {
  readonly #loops = new Map<string, RunLoop>();
  #state: 'working' | 'resting' | 'closed';
  #releasing: Promise<void> = Promise.resolve();

  constructor(private readonly parts: EngineTools) {
    this.#state = parts.others ? 'resting' : 'working';
  }

  /** Takes up every run that is not over. */
  async start(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'working';
    const runs = await this.parts.store.runs();
    for (const { id } of runs.filter(({ status }) => isLive(status))) {
      if (!this.#loops.has(id)) this.parts.log.info({ runId: id }, 'run taken up');
      this.poke(id);
    }
    this.#releasing = this.#releaseEnded(runs.filter(({ status }) => !isLive(status)));
  }

  /** Ends all work without an outcome; `start` goes on with it. What aggregates is not waited for. */
  async rest(): Promise<void> {
    if (this.#state === 'working') this.#state = 'resting';
    const loops = [...this.#loops.values()];
    this.#loops.clear();
    for (const loop of loops) loop.stop();
    await Promise.all([this.#releasing, ...loops.map((loop) => loop.close())]);
  }

  /** What works ends first. From then on nothing happens: the storage may be gone. */
  async close(): Promise<void> {
    this.#state = 'closed';
    const loops = [...this.#loops.values()];
    await Promise.all([this.#releasing, ...loops.map((loop) => loop.close())]);
  }

  /** Something happened in a run: its loop looks again, here or where the leader is. */
  poke(runId: string): void {
    if (this.#state === 'resting') this.parts.others?.tell(runId);
    else this.#at(runId)?.poke();
  }

  joined(runId: string, clientId: string): void {
    this.#at(runId)?.joined(clientId);
  }

  left(runId: string, clientId: string): void {
    this.#at(runId)?.left(clientId);
  }

  /** A client works on an assignment. Without a loop nobody waits for it here. */
  heard(runId: string, assignmentId: string): void {
    this.#loops.get(runId)?.heard(assignmentId);
  }

  async whileArriving<T>(runId: string, assignmentId: string, work: () => Promise<T>): Promise<T> {
    const loop = this.#loops.get(runId);
    return loop ? loop.whileArriving(assignmentId, work) : work();
  }

  /** The run was stopped here: see {@link RunLoop.stop}. */
  stop(runId: string): void {
    this.#loops.get(runId)?.stop();
  }

  /** Another coordinator stored something about this run: it may have ended it. */
  async lookAt(runId: string): Promise<void> {
    if (this.#state !== 'working') return;
    const run = await this.parts.store.run(runId);
    if (!run) return;
    if (isLive(run.status)) this.poke(runId);
    else this.#loops.get(runId)?.endedElsewhere();
  }

  /** Runs without a loop have no clients yet: there is nothing to do in them. */
  lookAtAll(): void {
    for (const loop of this.#loops.values()) if (!loop.isOver) loop.poke();
  }

  now(runId: string): string {
    if (this.#state === 'resting') return `standing by; ${this.parts.others?.leader()}`;
    const now = this.#loops.get(runId)?.now ?? 'not running';
    const complaint = this.parts.storageComplaint?.() ?? null;
    return complaint === null ? now : `${now}; the storage is full: ${complaint}`;
  }

  /** Each of a thousand runs that are over costs a look: clients are not kept waiting for it. */
  async #releaseEnded(runs: readonly Run[]): Promise<void> {
    try {
      for (const run of runs) {
        if (this.#state !== 'working') return;
        await releaseEnded(run, this.parts);
      }
    } catch (err) {
      this.parts.log.warn({ err }, 'updates of runs that are over are left to a sweep');
    }
  }

  #at(runId: string): RunLoop | undefined {
    if (this.#state !== 'working') return undefined;
    const loop = this.#loops.get(runId) ?? new RunLoop(runId, this.parts);
    this.#loops.set(runId, loop);
    return loop;
  }
}
