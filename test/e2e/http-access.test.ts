/** Who may ask, on every route. */
import { describe, expect, it } from 'vitest';
import {
  OPERATOR,
  createRun,
  enrol,
  errorOf,
  putUpdate,
  request,
  updateFile,
} from './support/coordinator.js';
import { coordinator, get, useCoordinator } from './support/one-coordinator.js';
import { Peer } from './support/peer.js';

useCoordinator();

describe('who may ask', () => {
  const nobody = { none: 401, garbage: 401 };
  const forOperators = { ...nobody, operator: 200, client: 403, stranger: 403 };
  const forReaders = { ...nobody, operator: 200, client: 200, stranger: 403 };
  const forClients = { ...nobody, operator: 403 };

  const routes: [string, string, Record<string, number>][] = [
    ['GET', '/v1/runs', forOperators],
    ['GET', '/v1/runs/RUN', forOperators],
    ['GET', '/v1/runs/RUN/task', forReaders],
    ['GET', '/v1/runs/RUN/plan', { ...forClients, client: 200, stranger: 403 }],
    ['GET', '/v1/runs/RUN/events', forOperators],
    ['GET', '/v1/runs/RUN/rounds/1', forOperators],
    ['GET', '/v1/runs/RUN/checkpoints/0', forReaders],
    ['GET', '/v1/runs/RUN/checkpoints/newest', forOperators],
    ['GET', '/v1/runs/RUN/checkpoints/0/broadcast', { ...forReaders, operator: 404, client: 404 }],
    ['GET', '/v1/runs/RUN/checkpoints/newest/broadcast', { ...forOperators, operator: 404 }],
    ['GET', '/v1/assignments/ASSIGNMENT/weight', { ...forClients, client: 200, stranger: 404 }],
    ['GET', '/v1/me', { ...forClients, client: 200, stranger: 200 }],
    ['POST', '/v1/runs', { ...forOperators, operator: 400 }],
    ['POST', '/v1/runs/RUN/stop', { ...nobody, client: 403, stranger: 403 }],
    ['POST', '/v1/runs/RUN/clients', { ...forOperators, operator: 400 }],
    ['PUT', `/v1/blobs/${'0'.repeat(64)}`, { ...forOperators, operator: 400 }],
    ['PUT', '/v1/assignments/ASSIGNMENT/update', { ...forClients, client: 400, stranger: 400 }],
    [
      'POST',
      '/v1/assignments/ASSIGNMENT/evaluation',
      { ...forClients, client: 400, stranger: 400 },
    ],
    ['GET', '/v1/questions/none/params', { ...forClients, client: 404, stranger: 404 }],
    ['PUT', '/v1/questions/none/answer', { ...forClients, client: 404, stranger: 404 }],
  ];

  it('is checked on every route', async () => {
    const [run, other] = [await createRun(coordinator), await createRun(coordinator)];
    const client = (await enrol(coordinator, run.id, 'anna')).token;
    const stranger = (await enrol(coordinator, other.id, 'anna')).token;
    const { id } = await (await Peer.join(coordinator.url, client)).assignment();
    const tokens: Record<string, string | null> = {
      none: null,
      garbage: 'trb_0000000000000000000000000000',
      operator: OPERATOR,
      client,
      stranger,
    };
    const found: unknown[] = [];
    const wanted: unknown[] = [];
    for (const [method, path, statuses] of routes) {
      for (const [who, status] of Object.entries(statuses)) {
        const address = path.replace('RUN', run.id).replace('ASSIGNMENT', id);
        const response = await request(coordinator, address, tokens[who], { method });
        wanted.push([method, path, who, status]);
        found.push([method, path, who, response.status]);
        if (!response.ok) await errorOf(response);
        else await response.arrayBuffer();
      }
    }
    expect(found).toEqual(wanted);
  });

  it('is told to those who come without a token', async () => {
    const response = await get('/v1/runs', null);
    expect(response.headers.get('www-authenticate')).toContain('Bearer');
    expect((await errorOf(response)).code).toBe('unauthorized');
    const basic = await get('/v1/runs', null, { authorization: 'Basic b3BlcmF0b3I6eA==' });
    expect((await errorOf(basic)).message).toContain('Bearer TOKEN');
  });

  it('does not tell a stranger whether an assignment exists', async () => {
    const [run, other] = [await createRun(coordinator), await createRun(coordinator)];
    const client = await enrol(coordinator, run.id, 'anna');
    const stranger = await enrol(coordinator, other.id, 'bert');
    const { id } = await (await Peer.join(coordinator.url, client.token)).assignment();
    const body = updateFile(id);
    const [real, imagined] = [
      await putUpdate(coordinator, id, stranger.token, body),
      await putUpdate(coordinator, 'no-such', stranger.token, body),
    ];
    expect([real.status, imagined.status]).toEqual([404, 404]);
    const [a, b] = [await errorOf(real), await errorOf(imagined)];
    expect(a.code).toBe('assignment_unknown');
    expect({ ...a, message: a.message.replace(id, 'ID') }).toEqual({
      ...b,
      message: b.message.replace('no-such', 'ID'),
    });
  });
});
