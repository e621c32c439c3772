/** Which blobs something that is stored still needs, and which checkpoints a run no longer keeps. */
import { expect, it } from 'vitest';
import type { RunSpec } from '../../protocol/run.js';
import type { Store } from '../../server/core/ports.js';
import type { Round } from '../../server/core/round.js';
import { openRound, step } from '../../server/core/round.js';
import type { NewAssignment } from './records.js';
import {
  assignmentFor,
  checkpointOf,
  closeCollection,
  enrol,
  eventOf,
  runNamed,
  sha,
  startedAt,
  updateOf,
} from './records.js';
import type { TheStore } from './store.contract.js';

const anna = { runId: 'r1', id: 'anna', role: 'source' } as const;

export function retentionContract(store: TheStore): void {
  it('needs the first checkpoint, and nothing that nobody names', async () => {
    await begin(store(), {});
    const first = checkpointOf('r1', 0).sha256;
    expect(await needed(store(), first, sha('nobody'))).toEqual([first]);
    expect(await needed(store())).toEqual([]);
  });

  it('needs state and vectors of the newest checkpoint only', async () => {
    await play(store(), await begin(store(), {}), 3);
    expect(await needed(store(), ...named(1), ...named(3))).toEqual(
      [named(1)[0], ...named(3)].sort(),
    );
  });

  it('needs state and vectors of what a round began from, until it is folded', async () => {
    const round = await play(store(), await begin(store(), {}), 2);
    const stale = await startFrom(store(), 1, round);
    expect(await needed(store(), ...named(1), ...named(2), ...named(3))).toEqual(
      [...named(1), named(2)[0], ...named(3)].sort(),
    );
    const { round: training } = await train(store(), stale);
    await evaluateRound(store(), training, 4);
    expect(await needed(store(), ...named(1), ...named(4))).toEqual(
      [named(1)[0], ...named(4)].sort(),
    );
  });

  it('needs everything of a run that keeps its updates', async () => {
    let round = await begin(store(), { keepUpdates: true, keepCheckpoints: 1 });
    round = await play(store(), round, 1, 'kept update');
    await play(store(), round, 3);
    expect(await store().expireCheckpoints('r1')).toEqual([]);
    const all = [...named(1), ...named(2), ...named(3), sha('kept update'), sha('init')];
    expect(await needed(store(), ...all)).toEqual([...all].sort());
  });

  it('needs an accepted update until its round is over, and no other one', async () => {
    const waiting = await begin(store(), {}, ['anna', 'bert', 'cleo']);
    const { round, assignments } = await train(store(), waiting, ['anna', 'bert', 'cleo']);
    await store().record(assignments[0].id, updateOf('accepted'));
    const error = { code: 'not_finite', message: 'NaN', help: '', retryable: false } as const;
    await store().record(assignments[1].id, updateOf('rejected', { error }));
    const aggregating = closeCollection(round);
    await store().commit(aggregating, {});
    await store().record(assignments[2].id, updateOf('late'));
    const updates = ['accepted', 'rejected', 'late'].map(sha);
    expect(await needed(store(), ...updates)).toEqual([sha('accepted')]);
    await commitRound(store(), aggregating, 1);
    expect(await needed(store(), ...updates)).toEqual([]);
  });

  it('needs no update of a round that was abandoned', async () => {
    const { round, assignments } = await train(store(), await begin(store(), {}));
    await store().record(assignments[0].id, updateOf('in vain'));
    const abandoned = step(round, { type: 'abandon', at: startedAt, reason: 'too few' });
    expect(await needed(store(), sha('in vain'))).toEqual([sha('in vain')]);
    const next = openRound('r1', 1, 2, 0, startedAt);
    expect(await store().commit(abandoned, { next })).toBe(true);
    expect(await needed(store(), sha('in vain'))).toEqual([]);
  });

  it('needs what a run was given while the run lives, and its rule always', async () => {
    const oracle = { kind: 'proxy' as const, data: sha('proxy'), batchSize: 2 };
    const rule = { name: 'mine', options: {}, module: sha('module') };
    const round = await begin(store(), { oracle, rule });
    const inputs = ['init', 'module', 'proxy'].map(sha);
    expect(await needed(store(), ...inputs)).toEqual([...inputs].sort());
    const paused = { status: 'paused', reason: null, event: eventOf('run-paused') } as const;
    await store().setStatus('r1', ['running'], paused);
    expect(await needed(store(), ...inputs)).toEqual([...inputs].sort());
    const over = step(round, { type: 'abandon', at: startedAt, reason: 'stopped' });
    await store().commit(over, { run: { status: 'stopped', reason: 'stopped' } });
    expect(await needed(store(), ...inputs)).toEqual([sha('module')]);
  });

  it('needs what one of two runs needs', async () => {
    await play(store(), await begin(store(), {}), 2);
    const shared = { ...checkpointOf('r2', 0), stateSha256: checkpointOf('r1', 1).stateSha256 };
    const waiting = openRound('r2', 1, 1, 0, startedAt);
    await store().createRun(runNamed('r2'), shared, waiting, [eventOf('run-created')]);
    expect(await needed(store(), named(1)[1])).toEqual([named(1)[1]]);
  });

  it('expires checkpoints beyond the newest so many, each once, and never the first', async () => {
    const round = await play(store(), await begin(store(), { keepCheckpoints: 2 }), 4);
    expect(await store().expireCheckpoints('r1')).toEqual([...named(1), ...named(2)]);
    expect(await store().expireCheckpoints('r1')).toEqual([]);
    expect(await collected(store(), 5)).toEqual([1, 2]);
    expect(await needed(store(), ...named(1), ...named(3))).toEqual([named(3)[0]]);
    await play(store(), round, 5);
    expect(await store().expireCheckpoints('r1')).toEqual(named(3));
    expect(await store().expireCheckpoints('nobody')).toEqual([]);
  });

  it('never expires what a round under way began from', async () => {
    const round = await play(store(), await begin(store(), { keepCheckpoints: 1 }), 2);
    const stale = await startFrom(store(), 1, round);
    expect(await store().expireCheckpoints('r1')).toEqual(named(2));
    const { round: training } = await train(store(), stale);
    await evaluateRound(store(), training, 4);
    expect(await store().expireCheckpoints('r1')).toEqual([...named(1), ...named(3)]);
  });

  it('expires nothing where all are kept', async () => {
    await play(store(), await begin(store(), { keepCheckpoints: 'all' }), 4);
    expect(await store().expireCheckpoints('r1')).toEqual([]);
    expect(await collected(store(), 4)).toEqual([]);
  });

  it('still tells which checkpoints were collected, in the list of rounds too', async () => {
    await play(store(), await begin(store(), { keepCheckpoints: 1 }), 2);
    await store().expireCheckpoints('r1');
    const rounds = await store().rounds('r1');
    expect(rounds.map(({ checkpoint }) => checkpoint?.collected)).toEqual([true, false, undefined]);
  });
}

async function needed(store: Store, ...hashes: readonly string[]): Promise<string[]> {
  return [...(await store.needed(hashes))].sort();
}

/** Model, state and vectors of a version, as `checkpointOf` has them. */
function named(version: number): string[] {
  const { sha256, stateSha256, broadcast } = checkpointOf('r1', version);
  return [sha256, stateSha256!, broadcast!.sha256];
}

async function collected(store: Store, newest: number): Promise<number[]> {
  const versions = Array.from({ length: newest + 1 }, (_, version) => version);
  const checkpoints = await Promise.all(versions.map((v) => store.checkpoint('r1', v)));
  return checkpoints.flatMap((each) => (each?.collected ? [each.version] : []));
}

async function begin(
  store: Store,
  spec: Partial<RunSpec>,
  clients: readonly string[] = ['anna'],
): Promise<Round> {
  const run = runNamed('r1');
  const waiting = openRound('r1', 1, 1, 0, startedAt);
  const whole = { ...run, spec: { ...run.spec, ...spec } };
  await store.createRun(whole, checkpointOf('r1', 0), waiting, [eventOf('run-created')]);
  for (const id of clients) await enrol(store, { ...anna, id });
  return waiting;
}

/** Rounds that commit a version each, up to one; the next round waits. */
async function play(store: Store, waiting: Round, upTo: number, update?: string): Promise<Round> {
  const { round, assignments } = await train(store, waiting);
  if (update !== undefined) await store.record(assignments[0].id, updateOf(update));
  const aggregating = closeCollection(round);
  await store.commit(aggregating, {});
  const next = await commitRound(store, aggregating, round.number);
  return round.number < upTo ? play(store, next, upTo) : next;
}

async function train(
  store: Store,
  waiting: Round,
  clients: readonly string[] = ['anna'],
): Promise<{ round: Round; assignments: NewAssignment[] }> {
  const assignments = clients.map((id) => assignmentFor(waiting, { ...anna, id }));
  const at = startedAt;
  const round = step(waiting, { type: 'begin', at, deadline: at + 60_000, wanted: clients.length });
  expect(await store.commit(round, { assignments })).toBe(true);
  return { round, assignments };
}

async function commitRound(store: Store, aggregating: Round, version: number): Promise<Round> {
  const at = startedAt;
  const closed = step(aggregating, { type: 'commit', at, version, evaluateUntil: null });
  const next = openRound('r1', version + 1, 1, version, at);
  expect(await store.commit(closed, { checkpoint: checkpointOf('r1', version), next })).toBe(true);
  return next;
}

/** Commits one version more; the round that waits then is to train from an older one. */
async function startFrom(store: Store, base: number, waiting: Round): Promise<Round> {
  const { round } = await train(store, waiting);
  const aggregating = closeCollection(round);
  await store.commit(aggregating, {});
  const version = round.number;
  const event = { type: 'commit', at: startedAt, version, evaluateUntil: null } as const;
  const next = openRound('r1', version + 1, 1, base, startedAt);
  const checkpoint = checkpointOf('r1', version);
  expect(await store.commit(step(aggregating, event), { checkpoint, next })).toBe(true);
  return next;
}

/** A round whose model is committed, and that still evaluates it. */
async function evaluateRound(store: Store, round: Round, version: number): Promise<Round> {
  const aggregating = closeCollection(round);
  await store.commit(aggregating, {});
  const event = { type: 'commit', at: startedAt, version, evaluateUntil: startedAt + 9 } as const;
  const evaluating = step(aggregating, event);
  const checkpoint = checkpointOf('r1', version);
  expect(await store.commit(evaluating, { checkpoint })).toBe(true);
  return evaluating;
}
