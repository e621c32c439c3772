/**
 * One run, driven from its stored state: load -> duties -> step -> commit -> perform, again and
 * again until there is nothing to do but wait. Nothing that matters is kept in memory, so the loop
 * of a restarted coordinator goes on where the killed one stopped.
 */
import type { RunStatus } from '../../protocol/run.js';
import { isLive } from '../../protocol/run.js';
import { byClientId } from '../core/cohort.js';
import type { View } from '../core/duties.js';
import { duties } from '../core/duties.js';
import type { Run } from '../core/records.js';
import type { Candidate, Round } from '../core/round.js';
import { newestVersion } from '../core/round.js';
import { Attendance } from './attendance.js';
import { backOff } from './back-off.js';
import type { EngineTools } from './engine.js';
import { loadOwnRule } from './own-rules.js';
import { perform } from './perform.js';
import { catchUp } from './recovery.js';
import { composedRule } from './run-rule.js';
import type { Scene } from './scene.js';
import { announce, countTrainers } from './scene.js';

export class RunLoop {
  private working: Promise<void> = Promise.resolve();
  private idle = true;
  private again = false;
  private closing = false;
  private failures = 0;
  /** Something may be stored that nobody was told: after the start, and after a failure. */
  private uncertain = true;
  /** The status that clients were told last; null before the first. */
  private told: RunStatus | null = null;
  private cancelWake: () => void = () => undefined;
  private readonly attendance: Attendance;
  private readonly stopped = new AbortController();
  /** What the run is doing, in words. */
  now = 'starting';
  /** The run is over, and everybody who is here was told: nothing will happen in it any more. */
  isOver = false;

  constructor(
    private readonly runId: string,
    private readonly parts: EngineTools,
  ) {
    this.attendance = new Attendance(parts);
  }

  joined(clientId: string): void {
    this.attendance.seen(clientId);
    this.poke();
  }

  left(clientId: string): void {
    this.attendance.seen(clientId);
    this.poke();
  }

  /** A client is at work on an assignment. Nothing to look at: at most somebody is waited for longer. */
  heard(assignmentId: string): void {
    this.attendance.leases.heard(assignmentId);
  }

  whileArriving<T>(assignmentId: string, work: () => Promise<T>): Promise<T> {
    return this.attendance.leases.whileArriving(assignmentId, work);
  }

  /** Something happened: look again. Any number of pokes while it works make one more look. */
  poke(): void {
    this.again = true;
    if (!this.idle || this.closing) return;
    this.idle = false;
    this.working = this.work();
  }

  /** An operator has stopped the run: a round that is being aggregated is not waited for. */
  stop(): void {
    this.stopped.abort();
  }

  /** Stopped by way of another coordinator, which could not tell those who are connected here. */
  endedElsewhere(): void {
    if (this.stopped.signal.aborted) return;
    this.uncertain = true;
    this.stop();
    this.poke();
  }

  async close(): Promise<void> {
    this.closing = true;
    this.cancelWake();
    await this.working;
  }

  private async work(): Promise<void> {
    while (this.again && !this.closing) {
      this.again = false;
      this.cancelWake();
      try {
        await this.look();
        this.failures = 0;
      } catch (error) {
        this.failed(error);
      }
    }
    this.idle = true;
  }

  private failed(error: unknown): void {
    if (this.closing) {
      // A stop ends what is being aggregated: an error in the log would look as if that were amiss.
      this.parts.log.info({ runId: this.runId, err: error }, 'left to the next start');
      return;
    }
    this.failures += 1;
    this.uncertain = true;
    this.now = `trying again: ${error instanceof Error ? error.message : String(error)}`;
    this.parts.log.error(
      { runId: this.runId, err: error },
      'the run could not go on; trying again',
    );
    this.wakeAt(this.parts.clock.now() + backOff(this.failures));
  }

  private wakeAt(at: number): void {
    this.cancelWake();
    // A timer set while the loop is being closed would keep the process alive until the deadline.
    if (this.closing) return;
    this.cancelWake = this.parts.clock.wakeAt(at, () => this.poke());
  }

  private async look(): Promise<void> {
    const { store } = this.parts;
    const [run, round] = await Promise.all([store.run(this.runId), store.currentRound(this.runId)]);
    if (!run || !round) {
      this.now = 'unknown';
      return;
    }
    const scene = { run, round, parts: this.parts, signal: this.stopped.signal };
    // A run that is over is never held up by a rule that does not load any more.
    if (isLive(run.status)) await loadOwnRule(run.spec, this.parts.ruleModules);
    if (run.status === 'stopped') this.endedElsewhere();
    if (this.uncertain) await this.catchUp(scene);
    if (this.uncertain) return;
    if (!isLive(run.status)) {
      this.now = run.status;
      this.isOver = true;
      return;
    }
    this.tellStatus(scene);
    let acted = false;
    for (const duty of duties(round, await this.view(run, round))) {
      // Somebody came back while others were dropped: it must not be dropped after them.
      if (acted && this.again) break;
      if (duty.do === 'wait') {
        this.now = `round ${round.number}: ${duty.why}`;
        if (duty.until !== null) this.wakeAt(duty.until);
      } else {
        this.now = `round ${round.number}: ${duty.do}`;
        await perform(duty, scene);
        acted = true;
      }
    }
    this.again ||= acted;
  }

  /** Pausing and resuming is stored by whoever was asked: here are those who are to hear of it. */
  private tellStatus(scene: Scene): void {
    const { run, round } = scene;
    const before = this.told;
    this.told = run.status;
    if (before === null || before === run.status) return;
    announce(scene, { round: round.number, version: newestVersion(round) });
  }

  /** Where another engine ended the run meanwhile, clients were just told otherwise: once more, then. */
  private async catchUp(scene: Scene): Promise<void> {
    await catchUp(scene);
    const run = await this.parts.store.run(this.runId);
    this.uncertain = run?.status !== scene.run.status;
    this.again ||= this.uncertain;
  }

  private async view(run: Run, round: Round): Promise<View> {
    const { clock, transport } = this.parts;
    const present = transport.present(this.runId);
    const here = new Set(present.map(({ id }) => id));
    const invited = await this.attendance.invited(round);
    const candidates = present
      .filter(({ id, trains, role }) => trains && role !== 'evaluator' && !invited.has(id))
      .map(({ id, role }): Candidate => ({ clientId: id, role }))
      .sort(byClientId);
    return {
      now: clock.now(),
      since: this.attendance.startedAt,
      spec: run.spec,
      paused: run.status === 'paused',
      minUpdates: composedRule(run.spec).minUpdates,
      enrolled:
        round.phase === 'waiting' && run.spec.cohort.size === 'all'
          ? await countTrainers({ run, parts: this.parts }, { expired: false })
          : 0,
      candidates,
      ...(await this.attendance.missing(run, round, here)),
      returningUntil: await this.attendance.returningUntil(run, round, here),
    };
  }
}
