/** The moving average of a run's checkpoints over HTTP. */
import { describe, expect, it } from 'vitest';
import type { RunSummary } from '../../protocol/http.js';
import { VERSION_HEADER } from '../../protocol/http.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import type { Coordinator } from '../../server/app.js';
import { connectApi } from '../../server/cli/api.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('each');
leaveAfterEach();

interface Finished {
  readonly coordinator: Coordinator;
  readonly run: RunSummary;
  readonly token: string;
}

/** A run of two rounds, each of which moves every kernel by 0.5 and every bias by -0.5. */
async function finished(after: RunSpecInput['after']): Promise<Finished> {
  const coordinator = await startCoordinator();
  const run = await createRun(coordinator, { after });
  const { token } = await enrol(coordinator, run.id, 'anna');
  const peer = await Peer.join(coordinator.url, token);
  for (const turn of [1, 2]) {
    const { id } = await peer.assignment(turn);
    const response = await putUpdate(coordinator, id, token, updateFile(id, 0.5));
    expect(response.status).toBe(201);
    await peer.nth('weighed', turn);
  }
  return { coordinator, run, token };
}

const pathOf = ({ run }: Finished, version: number | 'newest'): string =>
  `/v1/runs/${run.id}/checkpoints/${version}/average`;

async function biasAt(here: Finished, version: number | 'newest'): Promise<number[]> {
  const response = await request(here.coordinator, pathOf(here, version), OPERATOR);
  expect(response.status).toBe(200);
  const { tensors } = decodeSafetensors(new Uint8Array(await response.arrayBuffer()));
  expect(Object.keys(tensors)).toEqual(['dense/kernel', 'dense/bias']);
  return [...(tensors['dense/bias'].data as Float32Array)];
}

describe('GET …/checkpoints/:version/average', () => {
  it('gives the average up to that version, as a model', async () => {
    const here = await finished([{ name: 'ema', options: { d: 0.5 } }]);
    // The bias goes -1, -1.5, -2 and .5, 0, -.5.
    expect(await biasAt(here, 0)).toEqual([-1, 0.5]);
    expect(await biasAt(here, 1)).toEqual([-1.25, 0.25]);
    expect(await biasAt(here, 2)).toEqual([-1.625, -0.125]);
    expect(await biasAt(here, 'newest')).toEqual([-1.625, -0.125]);
  });

  it('is what `tributary model get --average` asks for', async () => {
    const here = await finished([{ name: 'ema', options: { d: 0.5 } }]);
    const api = connectApi(here.coordinator.url, OPERATOR);
    const response = await request(here.coordinator, pathOf(here, 2), OPERATOR);
    const average = new Uint8Array(await response.arrayBuffer());
    expect(await api.model(here.run.id, 'newest', { average: true })).toEqual(average);
    expect(await api.model(here.run.id, 2)).not.toEqual(average);
  });

  it('is read and cached as the checkpoint itself is', async () => {
    const here = await finished([{ name: 'ema', options: {} }]);
    const { coordinator, token } = here;
    const answer = await request(coordinator, pathOf(here, 1), token);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('private, max-age=31536000, immutable');
    expect(answer.headers.get(VERSION_HEADER)).toBe('1');
    const headers = { 'if-none-match': answer.headers.get('etag')! };
    expect((await request(coordinator, pathOf(here, 1), token, { headers })).status).toBe(304);
    expect((await request(coordinator, pathOf(here, 'newest'), token)).status).toBe(403);
    expect((await request(coordinator, pathOf(here, 1), null)).status).toBe(401);
    expect((await request(coordinator, pathOf(here, 9), OPERATOR)).status).toBe(404);
  });

  it('says how to get one where the run keeps none', async () => {
    const here = await finished([]);
    const response = await request(here.coordinator, pathOf(here, 1), OPERATOR);
    expect(response.status).toBe(404);
    const { code, message } = await errorOf(response);
    expect(code).toBe('not_found');
    expect(message).toContain('"after": [{ "name": "ema" }]');
  });
});
