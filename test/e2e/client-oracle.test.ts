/** A rule whose oracle is the target client: the questions and answers as they cross the wire. */
import { expect, it } from 'vitest';
import type { RoundSummary } from '../../protocol/http.js';
import { SHA256_HEADER, evaluationTaken } from '../../protocol/http.js';
import type { Question } from '../../protocol/messages.js';
import { question as questionSchema } from '../../protocol/messages.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import {
  createRun,
  enrol,
  errorOf,
  putUpdate,
  request,
  sha256,
  tensors,
  updateFile,
} from './support/coordinator.js';
import { detailOf } from './support/joined.js';
import { coordinator, useCoordinator } from './support/one-coordinator.js';
import { Peer } from './support/peer.js';

useCoordinator();

const EPOCHS = 3;

async function begin() {
  const run = await createRun(coordinator, {
    rounds: 1,
    rule: { name: 'fedlaw', options: { epochs: EPOCHS } },
    oracle: { kind: 'client', timeoutMs: 30_000 },
    quorum: { min: 2, required: ['target'] },
  });
  const [source, target] = [
    await enrol(coordinator, run.id, 'clinic'),
    await enrol(coordinator, run.id, 'hospital', 'target'),
  ];
  const peers = {
    source: await Peer.join(coordinator.url, source.token),
    target: await Peer.join(coordinator.url, target.token, { oracleBatches: 1 }),
  };
  for (const [peer, token, step] of [
    [peers.source, source.token, 0.5],
    [peers.target, target.token, -0.25],
  ] as const) {
    const { id } = await peer.assignment();
    expect((await putUpdate(coordinator, id, token, updateFile(id, step))).status).toBe(201);
  }
  return { runId: run.id, ...peers, token: target.token, sourceToken: source.token };
}

function put(question: Question, token: string, body: Uint8Array, headers = {}) {
  return request(coordinator, question.answerPath, token, { method: 'PUT', body, headers });
}

/** Loss and gradient of half the squared distance from zero: the same for every batch. */
async function answerOf(question: Question, token: string): Promise<Uint8Array> {
  const response = await request(coordinator, question.path, token);
  const file = new Uint8Array(await response.arrayBuffer());
  expect(sha256(file)).toBe(question.sha256);
  const params = decodeSafetensors(file).tensors;
  let loss = 0;
  for (const { name } of tensors) {
    for (const value of params[name].data as Float32Array) loss += (value * value) / 2;
  }
  const gradients = tensors.map(({ name, shape }) => [name, { shape, data: params[name].data }]);
  return encodeSafetensors(Object.fromEntries(gradients) as never, { loss: String(loss) });
}

it('a round is aggregated with what the target answers, and with nothing that others send', async () => {
  const { runId, target, source, token, sourceToken } = await begin();
  const first = questionSchema.parse(await target.nth('question'));
  const answer = await answerOf(first, token);
  for (const response of [
    await put(first, sourceToken, answer),
    await request(coordinator, first.path, sourceToken),
  ]) {
    expect([response.status, (await errorOf(response)).code]).toEqual([404, 'not_found']);
  }
  const wrongHash = await put(first, token, answer, { [SHA256_HEADER]: 'a'.repeat(64) });
  expect([wrongHash.status, (await errorOf(wrongHash)).code]).toEqual([400, 'wrong_hash']);
  const tooLarge = await put(first, token, new Uint8Array(1_000_000));
  expect([tooLarge.status, (await errorOf(tooLarge)).code]).toEqual([413, 'too_large']);

  const finished = target.nth('weighed').then(() => null);
  let answered = 0;
  for (let open: Question | null = first; open;) {
    const taken = await put(open, token, await answerOf(open, token));
    expect(evaluationTaken.parse(await taken.json())).toEqual({ taken: true });
    answered++;
    open = await Promise.race([finished, target.nth('question', answered + 1)]);
  }
  expect(answered).toBeGreaterThanOrEqual(EPOCHS);
  const late = await put(first, token, answer);
  expect(evaluationTaken.parse(await late.json())).toEqual({ taken: false });

  const detail = await detailOf(coordinator, runId);
  expect(detail.status).toBe('completed');
  // The oracle's optimum is at zero: the model is drawn towards it.
  expect(detail.history[0].diagnostics.gamma).toBeLessThan(1);
  await source.announced('completed');
  expect(source.received('question')).toEqual([]);
});

it('a target whose answer is wrong is told so, and the round is tried again', async () => {
  const { runId, target, token } = await begin();
  const first = await target.nth('question');
  const bad = await put(first, token, encodeSafetensors({}, { loss: '1' }));
  expect([bad.status, (await errorOf(bad)).code]).toEqual([422, 'wrong_tensors']);
  let round: RoundSummary;
  do [round] = (await detailOf(coordinator, runId)).history;
  while (round.phase === 'aggregating');
  expect(round.phase).toBe('abandoned');
  expect(round.reason).toContain('"hospital" gave a wrong answer');
});
