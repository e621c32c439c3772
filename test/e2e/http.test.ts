/** Every route: its answer in the shape of the protocol. */
import { describe, expect, it } from 'vitest';
import {
  blobStored,
  enrolled,
  eventList,
  health,
  identity,
  roundDetail,
  ruleList,
  runDetail,
  runList,
  runSummary,
  uploadAnswer,
} from '../../protocol/http.js';
import { task } from '../../protocol/model.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { verifyChain } from '../../server/adapters/ledger-chain.js';
import {
  OPERATOR,
  createRun,
  enrol,
  errorOf,
  initFile,
  postJson,
  putUpdate,
  request,
  runSpec,
  sha256,
  updateFile,
} from './support/coordinator.js';
import { coordinator, get, useCoordinator } from './support/one-coordinator.js';
import { Peer } from './support/peer.js';

useCoordinator();
const json = async (response: Response): Promise<unknown> => response.json();

describe('what anybody may ask', () => {
  it('is whether the coordinator lives and is ready', async () => {
    for (const path of ['/healthz', '/readyz']) {
      const response = await get(path, null);
      expect(response.status).toBe(200);
      expect(health.parse(await json(response)).version).toMatch(/^\d+\.\d+\.\d+/);
    }
  });

  it('is the catalogue of rules, with their options as JSON schema', async () => {
    const { rules } = ruleList.parse(await json(await get('/v1/rules', null)));
    expect(rules.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['fedavg', 'fedlaw', 'fedgp']),
    );
    expect(rules.find(({ name }) => name === 'fedlaw')?.needs.oracle).toBe(true);
  });
});

describe('a run from its creation to its end', () => {
  it('is told truly by every route', async () => {
    const stored = await request(coordinator, `/v1/blobs/${sha256(initFile)}`, OPERATOR, {
      method: 'PUT',
      body: initFile,
    });
    expect(stored.status).toBe(201);
    expect(blobStored.parse(await json(stored))).toEqual({
      sha256: sha256(initFile),
      bytes: initFile.byteLength,
    });

    const created = await postJson(coordinator, '/v1/runs', OPERATOR, runSpec());
    expect(created.status).toBe(201);
    const run = runSummary.parse(await json(created));
    expect(run).toMatchObject({
      name: 'toy',
      rule: 'fedavg',
      status: 'running',
      round: 0,
      rounds: 2,
    });

    const enrolment = await postJson(coordinator, `/v1/runs/${run.id}/clients`, OPERATOR, {
      name: 'anna',
    });
    expect(enrolment.status).toBe(201);
    const anna = enrolled.parse(await json(enrolment));
    expect(anna).toMatchObject({ clientId: 'anna', role: 'source' });

    const me = await get('/v1/me', anna.token);
    expect(identity.parse(await json(me))).toEqual({
      runId: run.id,
      clientId: 'anna',
      role: 'source',
    });

    const sentTask = await get(`/v1/runs/${run.id}/task`, anna.token);
    expect(task.parse(await json(sentTask)).name).toBe('toy');

    const waiting = runDetail.parse(await json(await get(`/v1/runs/${run.id}`)));
    expect(waiting.clients).toEqual([
      {
        id: 'anna',
        role: 'source',
        state: 'approved',
        present: false,
        progress: null,
        loss: null,
        backends: [],
        sdkVersion: null,
      },
    ]);

    const peer = await Peer.join(coordinator.url, anna.token);
    const first = await peer.assignment();
    await peer.send('progress', { assignmentId: first.id, fraction: 0.5 });
    const training = runDetail.parse(await json(await get(`/v1/runs/${run.id}`)));
    expect(training.clients).toMatchObject([
      { id: 'anna', role: 'source', present: true, progress: 0.5, loss: null },
    ]);
    expect(training.history.at(-1)).toMatchObject({ round: 1, phase: 'training', invited: 1 });

    const checkpoint = await get(first.checkpoint.path, anna.token);
    const bytes = new Uint8Array(await checkpoint.arrayBuffer());
    expect(sha256(bytes)).toBe(first.checkpoint.sha256);
    expect(bytes.byteLength).toBe(first.checkpoint.bytes);

    const update = updateFile(first.id);
    const upload = await putUpdate(coordinator, first.id, anna.token, update);
    expect(upload.status).toBe(201);
    expect(uploadAnswer.parse(await json(upload)).receipt).toMatchObject({
      assignmentId: first.id,
      runId: run.id,
      round: 1,
      clientId: 'anna',
      status: 'accepted',
      duplicate: false,
      sha256: sha256(update),
    });
    const again = await putUpdate(coordinator, first.id, anna.token, update);
    expect(again.status).toBe(200);
    expect(uploadAnswer.parse(await json(again)).receipt.duplicate).toBe(true);

    expect(await peer.nth('weighed')).toEqual({
      assignmentId: first.id,
      round: 1,
      version: 1,
      weight: 1,
    });
    const second = await peer.assignment(2);
    await putUpdate(coordinator, second.id, anna.token, updateFile(second.id, 0.5));
    await peer.nth('weighed', 2);

    const detail = roundDetail.parse(await json(await get(`/v1/runs/${run.id}/rounds/1`)));
    expect(detail).toMatchObject({
      round: 1,
      attempt: 1,
      phase: 'closed',
      invited: 1,
      accepted: 1,
      version: 1,
    });
    expect(detail.updates).toHaveLength(1);
    expect(detail.updates[0]).toMatchObject({
      clientId: 'anna',
      state: 'accepted',
      numExamples: 10,
      weight: 1,
      receipt: { status: 'accepted', code: null, sha256: sha256(update) },
    });

    const ended = runDetail.parse(await json(await get(`/v1/runs/${run.id}`)));
    expect(ended).toMatchObject({ status: 'completed', round: 2, version: 2 });
    expect(ended.history.map(({ version }) => version)).toEqual([1, 2]);

    const newest = await get(`/v1/runs/${run.id}/checkpoints/newest`);
    expect(newest.headers.get('x-tributary-version')).toBe('2');
    const model = decodeSafetensors(new Uint8Array(await newest.arrayBuffer())).tensors;
    expect([...model['dense/kernel'].data]).toEqual([1.75, 2.75, 3.75, 4.75, 5.75, 6.75]);
    expect([...model['dense/bias'].data]).toEqual([-1.75, -0.25]);

    const { events } = eventList.parse(await json(await get(`/v1/runs/${run.id}/events`)));
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['run-created', 'round-committed']),
    );
    const chain = events.map((event) => ({ ...event, at: Date.parse(event.at) }));
    expect(verifyChain(chain)).toBeNull();

    const list = runList.parse(await json(await get('/v1/runs')));
    expect(list.runs.find(({ id }) => id === run.id)).toMatchObject({ status: 'completed' });
  });

  it('can be stopped, once', async () => {
    const run = await createRun(coordinator);
    const stopped = await request(coordinator, `/v1/runs/${run.id}/stop`, OPERATOR, {
      method: 'POST',
    });
    expect(stopped.status).toBe(200);
    expect(runSummary.parse(await json(stopped)).status).toBe('stopped');
    const again = await request(coordinator, `/v1/runs/${run.id}/stop`, OPERATOR, {
      method: 'POST',
    });
    expect(again.status).toBe(409);
    expect((await errorOf(again)).code).toBe('run_over');
  });

  it('keeps the metrics of an evaluation by site and pooled', async () => {
    const run = await createRun(coordinator, { rounds: 1, evaluateEvery: 1 });
    const anna = await enrol(coordinator, run.id, 'anna');
    const peer = await Peer.join(coordinator.url, anna.token, { evaluates: true });
    const training = await peer.assignment();
    await putUpdate(coordinator, training.id, anna.token, updateFile(training.id));
    const evaluation = await peer.assignment(2);
    expect(evaluation.kind).toBe('evaluate');
    const report = { numExamples: 4, sums: { accuracy: 3, loss: 2 } };
    const sent = await postJson(coordinator, evaluation.uploadPath, anna.token, report);
    expect(await json(sent)).toEqual({ taken: true });
    const twice = await postJson(coordinator, evaluation.uploadPath, anna.token, report);
    expect(await json(twice)).toEqual({ taken: false });
    await peer.announced('completed');
    const detail = roundDetail.parse(await json(await get(`/v1/runs/${run.id}/rounds/1`)));
    expect(detail.evaluation).toEqual({
      version: 1,
      numExamples: 4,
      pooled: { accuracy: 0.75, loss: 0.5 },
      sites: { anna: { numExamples: 4, metrics: { accuracy: 0.75, loss: 0.5 } } },
    });
    const reported = detail.updates.find(({ kind }) => kind === 'evaluate');
    expect(reported).toMatchObject({ numExamples: 4, metrics: { accuracy: 0.75, loss: 0.5 } });
  });
});

describe('a checkpoint', () => {
  it('is immutable and need not be sent twice', async () => {
    const run = await createRun(coordinator);
    const { token } = await enrol(coordinator, run.id, 'anna');
    const path = `/v1/runs/${run.id}/checkpoints/0`;
    const first = await get(path, token);
    const etag = first.headers.get('etag')!;
    expect(first.headers.get('cache-control')).toBe('private, max-age=31536000, immutable');
    expect(first.headers.get('content-type')).toBe('application/octet-stream');
    expect(etag).toBe(`"${sha256(new Uint8Array(await first.arrayBuffer()))}"`);

    const second = await get(path, token, { 'if-none-match': etag });
    expect(second.status).toBe(304);
    expect((await second.arrayBuffer()).byteLength).toBe(0);
    const changed = await get(path, token, { 'if-none-match': '"other"' });
    expect(changed.status).toBe(200);
    const headOnly = await request(coordinator, path, token, { method: 'HEAD' });
    expect(headOnly.headers.get('content-length')).toBe(first.headers.get('content-length'));
    expect((await headOnly.arrayBuffer()).byteLength).toBe(0);
  });

  it('is looked up anew where the newest is asked for', async () => {
    const run = await createRun(coordinator);
    const newest = await get(`/v1/runs/${run.id}/checkpoints/newest`);
    expect(newest.headers.get('cache-control')).toBe('private, no-cache');
    expect(newest.headers.get('x-tributary-version')).toBe('0');
  });

  it.each([
    ['7', 404, 'not_found'],
    ['-1', 400, 'bad_request'],
    ['1.5', 400, 'bad_request'],
    ['latest', 400, 'bad_request'],
  ])('%s is refused with %i', async (version, status, code) => {
    const run = await createRun(coordinator);
    const response = await get(`/v1/runs/${run.id}/checkpoints/${version}`);
    expect([response.status, (await errorOf(response)).code]).toEqual([status, code]);
  });
});
