/**
 * One run, driven from its stored state: load -> duties -> step -> commit -> perform, again and
 * again until there is nothing to do but wait. Nothing that matters is kept in memory, so the loop
 * of a restarted coordinator goes on where the killed one stopped.
 */
import { byClientId } from '../core/cohort.js';
import type { Run } from '../core/ports.js';
import type { Candidate, Round, View } from '../core/round.js';
import { duties } from '../core/round.js';
import { backOff } from './back-off.js';
import type { EngineTools } from './engine.js';
import { perform } from './perform.js';
import { composedRule } from './run-rule.js';

export class RunLoop {
  private working: Promise<void> = Promise.resolve();
  private idle = true;
  private again = false;
  private closing = false;
  private failures = 0;
  private cancelWake: () => void = () => undefined;
  /** When each absent client was last seen; who was never seen is absent since the start. */
  private readonly absentSince = new Map<string, number>();
  private readonly startedAt: number;
  /** What the run is doing, in words. */
  now = 'starting';

  constructor(
    private readonly runId: string,
    private readonly parts: EngineTools,
  ) {
    this.startedAt = parts.clock.now();
  }

  joined(clientId: string): void {
    this.absentSince.delete(clientId);
    this.poke();
  }

  left(clientId: string): void {
    this.absentSince.set(clientId, this.parts.clock.now());
    this.poke();
  }

  /** Something happened: look again. Any number of pokes while it works make one more look. */
  poke(): void {
    this.again = true;
    if (!this.idle || this.closing) return;
    this.idle = false;
    this.working = this.work();
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
        this.failures += 1;
        this.now = 'waiting for the storage';
        this.parts.log.error(
          { runId: this.runId, err: error },
          'the run could not go on; trying again',
        );
        this.wakeAt(this.parts.clock.now() + backOff(this.failures));
      }
    }
    this.idle = true;
  }

  private wakeAt(at: number): void {
    this.cancelWake();
    this.cancelWake = this.parts.clock.wakeAt(at, () => this.poke());
  }

  private async look(): Promise<void> {
    const { store } = this.parts;
    const [run, round] = await Promise.all([store.run(this.runId), store.currentRound(this.runId)]);
    if (!run || !round || run.status !== 'running') {
      this.now = run?.status ?? 'unknown';
      return;
    }
    for (const duty of duties(round, await this.view(run, round))) {
      if (duty.do === 'wait') {
        this.now = `round ${round.number}: ${duty.why}`;
        if (duty.until !== null) this.wakeAt(duty.until);
      } else {
        this.now = `round ${round.number}: ${duty.do}`;
        await perform(duty, { run, round, parts: this.parts });
        this.again = true;
      }
    }
  }

  private async view(run: Run, round: Round): Promise<View> {
    const { store, clock, transport } = this.parts;
    const present = transport.present(this.runId);
    const candidates = present
      .filter(({ trains, role }) => trains && role !== 'evaluator')
      .map(({ id, role }): Candidate => ({ clientId: id, role }))
      .sort(byClientId);
    const here = new Set(present.map(({ id }) => id));
    const open = ['training', 'evaluating'].includes(round.phase)
      ? (await store.assignments(run.id, round.number, round.attempt)).filter(
          (a) => a.state === 'invited',
        )
      : [];
    return {
      now: clock.now(),
      spec: run.spec,
      minUpdates: composedRule(run.spec).minUpdates,
      candidates,
      absences: open
        .filter(({ clientId }) => !here.has(clientId))
        .map(({ id, clientId }) => ({
          assignmentId: id,
          since: this.absentSince.get(clientId) ?? this.startedAt,
        })),
    };
  }
}
