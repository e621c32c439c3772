/**
 * Updates that were mangled after they were written, with the sha256 of what is sent: each gets its
 * receipt, and the model is the mean of exactly those that were accepted, which are whole and finite.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { UPDATE_METADATA } from '../../protocol/update.js';
import { eventually } from '../support/database.js';
import { initialParams, plainTask } from '../support/plain-task.js';
import { put } from '../support/raw-client.js';
import { encode, goodUpdate } from '../support/updates.js';
import { mangled } from './support/arbitraries.js';
import type { Victim } from './support/victim.js';
import { openVictim } from './support/victim.js';

const CLIENTS = 300;
let victim: Victim;
beforeAll(async () => {
  victim = await openVictim();
});
afterAll(() => victim.close());

interface Accepted {
  readonly numExamples: number;
  readonly deltas: Readonly<Record<string, Float32Array>>;
}

/** Read anew, by other code than the coordinator's admission. */
function readUpdate(bytes: Uint8Array): Accepted {
  const { tensors, metadata } = decodeSafetensors(bytes);
  const facts = JSON.parse(metadata[UPDATE_METADATA]) as { numExamples: number };
  const deltas = Object.fromEntries(
    Object.entries(tensors).map(([key, { data }]) => [
      key.replace(/^delta\//, ''),
      data as Float32Array,
    ]),
  );
  return { numExamples: facts.numExamples, deltas };
}

const { tensors: specs } = plainTask.model;

/** Where the header of a safetensors file ends. */
function headerEnd(file: Uint8Array): number {
  return 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
}

/** Everywhere; or in the numbers of the tensors, or in one digit of the header, alone. */
function mangledUpdate(good: Uint8Array): fc.Arbitrary<Uint8Array> {
  const end = headerEnd(good);
  const odd = fc.constantFrom(0x7f, 0x80, 0xff, 0xc0, 0x00, 0x43);
  const inNumbers = fc.tuple(fc.integer({ min: end, max: good.length - 1 }), odd);
  const digits = [...good.keys()].filter((i) => i >= 8 && i < end && isDigit(good[i]));
  const other = fc.constantFrom(...Buffer.from('0123456789-.e '));
  const inDigits = fc.tuple(fc.constantFrom(...digits), other);
  const change = fc.oneof(inNumbers, inDigits);
  return fc.oneof(
    mangled(good),
    change.map(([i, value]) => Uint8Array.from(good, (byte, at) => (at === i ? value : byte))),
  );
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

it('each is accepted whole or rejected whole', { timeout: 240_000 }, async () => {
  const { runId, clients } = await victim.openRound(CLIENTS);
  const accepted: Accepted[] = [];
  const codes = new Map<string, number>();
  for (const [k, client] of clients.entries()) {
    if (k === CLIENTS / 3) victim.warm();
    const assignment = await client.assignment();
    const good = encode(goodUpdate(assignment, 0.25, 1 + (k % 7)));
    // A few stay as they are: a round of rejections alone would prove little.
    const bytes =
      k % 10 === 0 ? good : fc.sample(mangledUpdate(good), { seed: 7_000 + k, numRuns: 1 })[0];
    const { status, code, receipt } = await put(victim.url + assignment.uploadPath, bytes, client);
    expect(receipt?.assignmentId, `${status} ${code}`).toBe(assignment.id);
    codes.set(code ?? 'accepted', (codes.get(code ?? 'accepted') ?? 0) + 1);
    if (receipt?.status === 'accepted') accepted.push(readUpdate(bytes));
    else expect([422]).toContain(status);
  }
  expect(accepted.length).toBeGreaterThanOrEqual(CLIENTS / 10);
  expect([...codes.keys()].length).toBeGreaterThan(3);

  await eventually('the round ends', async () => {
    return (await victim.coordinator.api.run(runId)).status === 'completed' ? true : null;
  });
  const model = decodeSafetensors(await victim.coordinator.api.model(runId, 1)).tensors;
  const total = accepted.reduce((sum, { numExamples }) => sum + numExamples, 0);
  for (const { name, role } of specs) {
    const after = model[name].data as Float32Array;
    initialParams[name].forEach((before, i) => {
      const mean = accepted.reduce((sum, { numExamples, deltas }) => {
        const delta = role === 'frozen' ? 0 : deltas[name][i];
        expect(Number.isFinite(delta)).toBe(true);
        return sum + numExamples * delta;
      }, 0);
      expect(after[i]).toBeCloseTo(before + mean / total, 5);
    });
  }
});

it('and after all that nothing has happened', () => victim.expectUnharmed());
