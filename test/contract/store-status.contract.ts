import { expect, it } from 'vitest';
import type { Evaluation } from '../../protocol/http.js';
import { openRound, step } from '../../server/core/round.js';
import {
  beginRound,
  checkpointOf,
  closeCollection,
  createRun,
  enrol,
  eventOf,
  assignmentFor,
  startTraining,
  startedAt,
} from './records.js';
import type { TheStore } from './store.contract.js';

const paused = { status: 'paused', reason: 'wait', event: eventOf('run-paused') } as const;
const resumed = { status: 'running', reason: null, event: eventOf('run-resumed') } as const;

export function statusContract(theStore: TheStore): void {
  const types = async (): Promise<string[]> =>
    (await theStore().events('r1')).map(({ type }) => type);

  it('moves a run from one status to another, with its event, and leaves its round alone', async () => {
    const round = await createRun(theStore());
    expect(await theStore().setStatus('r1', ['running'], paused)).toBe(true);
    expect(await theStore().run('r1')).toMatchObject({ status: 'paused', reason: 'wait' });
    expect(await theStore().setStatus('r1', ['stopped', 'paused'], resumed)).toBe(true);
    expect(await theStore().run('r1')).toMatchObject({ status: 'running', reason: null });
    expect(await types()).toEqual(['run-created', 'run-paused', 'run-resumed']);
    expect(await theStore().currentRound('r1')).toEqual(round);
  });

  it('changes nothing where the run has another status, or is none', async () => {
    await createRun(theStore());
    expect(await theStore().setStatus('r1', ['paused'], resumed)).toBe(false);
    expect(await theStore().setStatus('r1', [], paused)).toBe(false);
    expect(await theStore().setStatus('r2', ['running'], paused)).toBe(false);
    expect(await theStore().run('r1')).toMatchObject({ status: 'running' });
    expect(await types()).toEqual(['run-created']);
  });

  it('lets one of many who pause a run at once do it', async () => {
    await createRun(theStore());
    const all = Array.from({ length: 8 }, () => theStore().setStatus('r1', ['running'], paused));
    expect((await Promise.all(all)).filter(Boolean)).toHaveLength(1);
    expect(await types()).toEqual(['run-created', 'run-paused']);
  });

  it('commits what asks for a status only while the run has it', async () => {
    const waiting = await createRun(theStore());
    await enrol(theStore(), { runId: 'r1', id: 'anna', role: 'source' });
    const begun = beginRound(waiting);
    const anna = assignmentFor(waiting, { runId: 'r1', id: 'anna', role: 'source' });
    const changes = {
      ...{ assignments: [anna], events: [eventOf('began')] },
      onlyWhile: 'running' as const,
    };
    await theStore().setStatus('r1', ['running'], paused);
    expect(await theStore().commit(begun, changes)).toBe(false);
    expect(await theStore().currentRound('r1')).toEqual(waiting);
    expect(await theStore().assignments('r1', 1, 1)).toEqual([]);
    expect(await types()).not.toContain('began');
    await theStore().setStatus('r1', ['paused'], resumed);
    expect(await theStore().commit(begun, changes)).toBe(true);
    expect(await types()).toContain('began');
  });

  it('never begins a round after the run was paused, however close they are', async () => {
    for (let i = 0; i < 12; i++) {
      const id = `race-${i}`;
      const waiting = await createRun(theStore(), id);
      const begun = beginRound(waiting, 1);
      const began = { events: [eventOf('began')], onlyWhile: 'running' as const };
      const pausing = (): Promise<boolean> => theStore().setStatus(id, ['running'], paused);
      const beginning = (): Promise<boolean> => theStore().commit(begun, began);
      const work = i % 2 === 0 ? [pausing(), beginning()] : [beginning(), pausing()];
      await Promise.all(work);
      const order = (await theStore().events(id)).map(({ type }) => type).slice(1);
      expect([['run-paused'], ['began', 'run-paused']]).toContainEqual(order);
    }
  });

  it('keeps what a round under way says of its run, though it was paused meanwhile', async () => {
    const { round } = await startTraining(theStore(), ['anna']);
    await theStore().setStatus('r1', ['running'], paused);
    const lost = step(round, { type: 'abandon', at: startedAt, reason: 'nobody' });
    const run = { status: 'failed', reason: 'nobody' } as const;
    expect(await theStore().commit(lost, { run })).toBe(true);
    expect(await theStore().run('r1')).toMatchObject(run);
    expect(await theStore().setStatus('r1', ['paused'], resumed)).toBe(false);
  });

  it('extends a round: others are invited beside those who were, and nobody twice', async () => {
    const { round, assignments } = await startTraining(theStore(), ['anna', 'bert']);
    for (const id of ['cleo', 'dora']) {
      await enrol(theStore(), { runId: 'r1', id, role: 'source' });
    }
    await theStore().drop(assignments[0].id);
    const cleo = assignmentFor(round, { runId: 'r1', id: 'cleo', role: 'source' });
    const extended = step(round, { type: 'extend', at: startedAt });
    expect(await theStore().commit(extended, { assignments: [cleo] })).toBe(true);
    expect(await theStore().commit(extended, { assignments: [cleo] })).toBe(false);
    expect(await theStore().currentRound('r1')).toMatchObject({
      ...{ phase: 'training', wanted: 2, deadline: round.deadline },
      tally: [
        { kind: 'train', role: 'source', state: 'dropped', count: 1 },
        { kind: 'train', role: 'source', state: 'invited', count: 2 },
      ],
    });
    const again = step(extended, { type: 'extend', at: startedAt });
    const anna = { ...assignments[0], id: 'another' };
    await expect(theStore().commit(again, { assignments: [anna] })).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  it('lists the pooled evaluations of rounds that are over, oldest first', async () => {
    const { round } = await startTraining(theStore(), ['anna']);
    expect(await theStore().evaluations('r1')).toEqual([]);
    expect(await theStore().evaluations('r2')).toEqual([]);
    let training = round;
    for (let version = 1; version <= 11; version++) {
      // Every third round is evaluated by nobody.
      const evaluation = version % 3 === 0 ? null : evaluationOf(version);
      await evaluate(training, version, evaluation);
      const next = (await theStore().currentRound('r1'))!;
      training = beginRound(next, startedAt);
      await theStore().commit(training, {});
    }
    const expected = [1, 2, 4, 5, 7, 8, 10, 11].map((version) => {
      const { numExamples, pooled } = evaluationOf(version);
      return { version, numExamples, pooled };
    });
    expect(await theStore().evaluations('r1')).toEqual(expected);
  });

  function evaluationOf(version: number): Evaluation {
    const metrics = { loss: 1 / version, accuracy: 0.1 * version };
    const sites = { anna: { numExamples: 3, metrics } };
    return { version, numExamples: 3, pooled: metrics, sites };
  }

  async function evaluate(
    training: ReturnType<typeof closeCollection>,
    version: number,
    evaluation: Evaluation | null,
  ): Promise<void> {
    const at = startedAt;
    const aggregating = closeCollection(training);
    const evaluating = step(aggregating, { type: 'commit', at, version, evaluateUntil: at + 9 });
    const closed = step(evaluating, { type: 'end-evaluation', at });
    await theStore().commit(aggregating, {});
    await theStore().commit(evaluating, { checkpoint: checkpointOf('r1', version) });
    const next = openRound('r1', version + 1, 1, version, at);
    await theStore().commit(closed, { next, ...(evaluation && { evaluation }) });
  }
}
