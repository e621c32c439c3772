import { describe, expect, it } from 'vitest';
import type { ClientStorage, TrainFunction } from '../../client/types.js';
import type { GivenWeight } from '../../protocol/http.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { accept, refuse } from './support/fake-coordinator.js';
import { coordinator, log, trained, useHarness } from './support/harness.js';
import { asked, memory, play, startOne, tells, weighed } from './support/kept.js';

/** Keeps the value, and sends bits that go with it: as a trainer of one's own may, run twice. */
function keeping(value: number): { train: TrainFunction; found: (number | null)[] } {
  const found: (number | null)[] = [];
  const train: TrainFunction = (request) => {
    found.push(request.kept?.mark ? request.kept.mark['dense/bias'][0] : null);
    const mark = { 'dense/bias': Float32Array.of(value, value) };
    return Promise.resolve({ ...trained(request), numExamples: value, keep: { mark } });
  };
  return { train, found };
}

describe('what a client keeps of an assignment that it trained twice', () => {
  useHarness();

  /** Its first process ends while the first upload is judged; the second one finds it taken. */
  async function trainedTwice(storage: ClientStorage): Promise<() => Promise<void>> {
    coordinator.answers = [({ cut }) => cut(), refuse('assignment_used'), accept];
    coordinator.open = [coordinator.assignment('a1')];
    const end = startOne(keeping(5).train, storage);
    await log.nth('retry');
    await end();
    const endSecond = startOne(keeping(6).train, storage);
    await log.nth('problem');
    coordinator.open = [];
    return endSecond;
  }

  /** What a third process finds in the next round. */
  async function foundNext(storage: ClientStorage): Promise<number | null> {
    const { train, found } = keeping(7);
    const end = startOne(train, storage);
    await log.nth('connected', 3);
    await play('a2', { round: 5 });
    await end();
    return found[0];
  }

  it.each([
    ['the first, whose receipt nobody heard', 0, 5],
    ['the second, after the first got lost on its way', 1, 6],
  ])('is what belongs to the upload that was counted: %s', async (_, upload, expected) => {
    const storage = memory();
    const end = await trainedTwice(storage);
    weighed('a1');
    await log.nth('weighed');
    await end();

    tells('a1', 0.5, upload);
    expect(await foundNext(storage)).toBe(expected);
    expect(asked()).toEqual(['/v1/assignments/a1/weight']);
  });

  it('is found by the process that was there when the round committed', async () => {
    const storage = memory();
    const end = await trainedTwice(storage);
    weighed('a1');
    await log.nth('weighed');
    tells('a1', 0.5, 0);
    await play('a2', { round: 5 });
    // The client of the second process trained a2 from what the first one had made of a1.
    expect(
      decodeSafetensors(storage.files.get('r.anna')!).tensors['kept/mark/dense/bias'].data,
    ).toEqual(Float32Array.of(5, 5));
    await end();
  });

  it('is nothing where the round went on without it', async () => {
    const storage = memory();
    const end = await trainedTwice(storage);
    await end();
    tells('a1', null, 0);
    expect(await foundNext(storage)).toBeNull();
  });

  it('is nothing where the coordinator has an upload that this client never made', async () => {
    const storage = memory();
    const end = await trainedTwice(storage);
    await end();
    const given: GivenWeight = { weight: 0.5, sha256: '0'.repeat(64) };
    coordinator.files.set('/v1/assignments/a1/weight', Buffer.from(JSON.stringify(given)));
    expect(await foundNext(storage)).toBeNull();
  });

  it('follows the receipt of the second where there is one, without a question', async () => {
    coordinator.answers = [({ cut }) => cut(), accept];
    coordinator.open = [coordinator.assignment('a1')];
    const storage = memory();
    const end = startOne(keeping(5).train, storage);
    await log.nth('retry');
    await end();
    const second = keeping(6);
    const endSecond = startOne(second.train, storage);
    await log.nth('receipt');
    weighed('a1');
    await log.nth('weighed');
    await play('a2', { round: 5 });
    await endSecond();
    expect(second.found).toEqual([null, 6]);
    expect(asked()).toEqual([]);
  });
});
