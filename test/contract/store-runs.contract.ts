import { expect, it } from 'vitest';
import { openRound } from '../../server/core/round.js';
import { checkpointOf, createRun, eventOf, runNamed, startedAt } from './records.js';
import type { TheStore } from './store.contract.js';

export function runContract(theStore: TheStore): void {
  it('gives a run back as it was stored', async () => {
    const run = runNamed('r1', { oracle: 'tfjs-wasm 4.22.0', reason: 'none yet' });
    await theStore().createRun(run, checkpointOf('r1', 0), openRound('r1', 1, 1, 0, startedAt), []);
    expect(await theStore().run('r1')).toEqual(run);
  });

  it('stores a run with its first checkpoint, its first round and its first events', async () => {
    const round = await createRun(theStore());
    expect(await theStore().checkpoint('r1', 0)).toEqual(checkpointOf('r1', 0));
    expect(await theStore().currentRound('r1')).toEqual(round);
    expect((await theStore().events('r1')).map((e) => e.type)).toEqual(['run-created']);
  });

  it('lists runs newest first, several of one task among them', async () => {
    for (const [id, createdAt] of [
      ['b', 2_000],
      ['c', 1_000],
      ['a', 3_000],
    ] as const) {
      const round = openRound(id, 1, 1, 0, createdAt);
      await theStore().createRun(runNamed(id, { createdAt }), checkpointOf(id, 0), round, []);
    }
    const runs = await theStore().runs();
    expect(runs.map((run) => run.id)).toEqual(['a', 'b', 'c']);
    expect(runs[2]).toEqual(runNamed('c', { createdAt: 1_000 }));
  });

  it('refuses a second run with the same id and keeps the first', async () => {
    await createRun(theStore());
    const other = runNamed('r1', { createdAt: 1 });
    await expect(
      theStore().createRun(other, checkpointOf('r1', 0), openRound('r1', 1, 1, 0, 1), [
        eventOf('twice'),
      ]),
    ).rejects.toMatchObject({ code: 'conflict' });
    expect(await theStore().run('r1')).toEqual(runNamed('r1'));
    expect(await theStore().events('r1')).toHaveLength(1);
  });

  it('refuses a specification that it could not give back unchanged', async () => {
    const run = runNamed('r1');
    const task = { ...run.spec.task, model: { ...run.spec.task.model, body: { n: ['a\u0000b'] } } };
    const broken = { ...run, spec: { ...run.spec, task } };
    await expect(
      theStore().createRun(broken, checkpointOf('r1', 0), openRound('r1', 1, 1, 0, startedAt), []),
    ).rejects.toMatchObject({
      code: 'bad_request',
      details: { path: 'run.task.model.body.n[0]' },
    });
    expect(await theStore().run('r1')).toBeNull();
  });

  it('knows nothing of what was never stored', async () => {
    await createRun(theStore());
    for (const id of ['r2', '', 'r1\u0000', '\ud800']) {
      expect(await theStore().run(id)).toBeNull();
      expect(await theStore().currentRound(id)).toBeNull();
      expect(await theStore().checkpoint(id, 0)).toBeNull();
      expect(await theStore().events(id)).toEqual([]);
      expect(await theStore().rounds(id)).toEqual([]);
      expect(await theStore().clients(id)).toEqual([]);
      expect(await theStore().assignments(id, 1, 1)).toEqual([]);
      expect(await theStore().assignment(id)).toBeNull();
      expect(await theStore().clientByToken(id)).toBeNull();
      expect(await theStore().drop(id)).toBe(false);
      expect(await theStore().report(id, { numExamples: 1, sums: {} })).toBe(false);
    }
    for (const version of [1, -1, 0.5, NaN, 2 ** 40]) {
      expect(await theStore().checkpoint('r1', version)).toBeNull();
      expect(await theStore().assignments('r1', version, 1)).toEqual([]);
      expect(await theStore().assignments('r1', 1, version + 1)).toEqual([]);
    }
  });

  it('counts the runs by their status', async () => {
    expect(await theStore().countRuns()).toEqual({});
    for (const id of ['r1', 'r2', 'r3']) await createRun(theStore(), id);
    const event = eventOf('run-paused');
    await theStore().setStatus('r2', ['running'], { status: 'paused', reason: null, event });
    expect(await theStore().countRuns()).toEqual({ running: 2, paused: 1 });
  });

  it('keeps its state out of the reach of those who hold what it gave or was given', async () => {
    const run = runNamed('r1');
    const given = structuredClone(run) as { spec: { name: string } } & typeof run;
    await theStore().createRun(given, checkpointOf('r1', 0), openRound('r1', 1, 1, 0, 0), []);
    given.spec.name = 'changed by the giver';
    const read = (await theStore().run('r1')) as unknown as { spec: { name: string } };
    read.spec.name = 'changed by the reader';
    (await theStore().runs()).pop();
    expect(await theStore().run('r1')).toEqual(run);
    expect(await theStore().runs()).toHaveLength(1);
  });
}
