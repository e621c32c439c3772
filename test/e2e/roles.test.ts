/** Every call of the table, by everybody: it is let through, or refused with the right error. */
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ApiRoute } from '../../protocol/api.js';
import { apiRoutes } from '../../protocol/api.js';
import { SHA256_HEADER, failure, operatorToken } from '../../protocol/http.js';
import type { OperatorRole } from '../../protocol/http.js';
import type { Coordinator } from '../../server/app.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  postJson,
  request,
  sha256,
  startCoordinator,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';
import { sitesOf } from './support/sites.js';
import { head, openWire, parseAnswer } from './support/tcp.js';

closeCoordinators('all');
leaveAfterEach();

type Who = ApiRoute['who'];
const callers = [
  'nobody',
  'a stranger',
  'the client',
  'a client of another run',
  'a pending client',
  'a revoked client',
  'a viewer',
  'an operator',
  'an admin',
  'the configured token',
  'a revoked admin',
  'an expired admin',
] as const;
type Caller = (typeof callers)[number];

/** With which error each is refused, where it is; whoever is missing is let through. */
const never = {
  nobody: 'unauthorized',
  'a stranger': 'unauthorized',
  'a pending client': 'not_approved',
  'a revoked client': 'revoked',
  'a revoked admin': 'revoked',
  'an expired admin': 'token_expired',
} as const;
const noClients = { 'the client': 'forbidden', 'a client of another run': 'forbidden' } as const;
const refusals: Readonly<Record<Who, Partial<Record<Caller, string>>>> = {
  anyone: {},
  viewer: { ...never, ...noClients },
  operator: { ...never, ...noClients, 'a viewer': 'forbidden' },
  admin: { ...never, ...noClients, 'a viewer': 'forbidden', 'an operator': 'forbidden' },
  reader: { ...never, 'a client of another run': 'forbidden', 'a viewer': 'forbidden' },
  client: {
    ...never,
    'a viewer': 'forbidden',
    'an operator': 'forbidden',
    'an admin': 'forbidden',
    'the configured token': 'forbidden',
  },
};

function expectedFor({ who, path }: ApiRoute): Partial<Record<Caller, string>> {
  const ofOneRun = who === 'client' && path.includes(':run');
  return { ...refusals[who], ...(ofOneRun && { 'a client of another run': 'forbidden' }) };
}

let coordinator: Coordinator;
let runId: string;
const tokens: Partial<Record<Caller, string>> = {
  'a stranger': 'trb_nobody-has-this',
  'the configured token': OPERATOR,
};

async function addOperator(
  name: string,
  role: OperatorRole,
  token = OPERATOR,
  expiresInMs?: number,
): Promise<string> {
  const body = { name, role, expiresInMs };
  const answer = await postJson(coordinator, '/v1/operators', token, body);
  return operatorToken.parse(await answer.json()).token;
}

function revokeOperator(name: string): Promise<Response> {
  return postJson(coordinator, `/v1/operators/${name}/revoke`, OPERATOR, {});
}

beforeAll(async () => {
  const strangers = { burst: 1000, perSecond: 1000 };
  coordinator = await startCoordinator({ limits: { strangers } });
  const run = await createRun(coordinator, { join: 'approved' });
  runId = run.id;
  const sites = sitesOf(coordinator, runId);
  for (const [caller, name] of [
    ['the client', 'anna'],
    ['a pending client', 'petra'],
    ['a revoked client', 'rita'],
  ] as const) {
    tokens[caller] = (await enrol(coordinator, runId, name)).token;
  }
  await sites.approve('anna');
  await sites.revoke('rita');
  const other = await createRun(coordinator, { name: 'other' });
  tokens['a client of another run'] = (await enrol(coordinator, other.id, 'anna')).token;
  tokens['a viewer'] = await addOperator('vera', 'viewer');
  tokens['an operator'] = await addOperator('olga', 'operator');
  tokens['an admin'] = await addOperator('ada', 'admin');
  tokens['a revoked admin'] = await addOperator('rob', 'admin');
  await revokeOperator('rob');
  tokens['an expired admin'] = await addOperator('eve', 'admin', OPERATOR, 1);
});

/** Ids that are nobody's, where a call that is let through would change or end something. */
function addressOf({ method, path, who }: ApiRoute): string {
  const run = method === 'get' || who === 'anyone' ? runId : 'no-such-run';
  return path
    .replace(':run', run)
    .replace(/:(version|round)/, '1')
    .replace(/:\w+/g, 'none');
}

/** The code of a refusal that says who may call; null where the call was let through. */
async function refusalBy(route: ApiRoute, caller: Caller): Promise<string | null> {
  const headers = { 'content-type': 'application/json' };
  const init = { method: route.method.toUpperCase(), headers, ...(route.body && { body: '[]' }) };
  const answer = await request(coordinator, addressOf(route), tokens[caller] ?? null, init);
  if (answer.ok) return null;
  const { error } = failure.parse(await answer.json());
  const aboutCallers = ['unauthorized', 'forbidden', 'not_approved', 'revoked', 'token_expired'];
  return aboutCallers.includes(error.code) ? error.code : null;
}

describe.each(apiRoutes.map((route) => [`${route.method} ${route.path}`, route] as const))(
  '%s',
  (_name, route) => {
    it(`is for ${route.who}`, async () => {
      const told = await Promise.all(
        callers.map(async (caller) => [caller, await refusalBy(route, caller)] as const),
      );
      const refused = told.filter(([, code]) => code !== null);
      expect(Object.fromEntries(refused)).toEqual(expectedFor(route));
    });
  },
);

describe('operators', () => {
  it('are told which role they lack', async () => {
    const refused = await postJson(coordinator, '/v1/runs', tokens['a viewer']!, {});
    expect((await errorOf(refused)).message).toBe(
      'this takes the role "operator", and operator "vera" has "viewer"',
    );
  });

  it('do not train', async () => {
    for (const caller of ['an operator', 'an admin', 'the configured token'] as const) {
      const peer = new Peer(coordinator.url, { token: tokens[caller] });
      expect((await peer.refused()).data).toMatchObject({ code: 'forbidden' });
    }
  });

  it('lose their token at once when they get another one', async () => {
    const old = await addOperator('rolf', 'viewer');
    const path = '/v1/operators/rolf/rotate';
    const rotated = operatorToken.parse(
      await (await postJson(coordinator, path, OPERATOR, {})).json(),
    );
    expect(rotated).toMatchObject({ name: 'rolf', role: 'viewer', tokenExpiresAt: null });
    expect(rotated.token).toMatch(/^tro_[\w-]{43}$/);
    expect((await request(coordinator, '/v1/runs', old)).status).toBe(401);
    expect((await request(coordinator, '/v1/runs', rotated.token)).status).toBe(200);
  });

  it('are revoked for good, and once', async () => {
    await addOperator('ina', 'admin');
    expect((await revokeOperator('ina')).status).toBe(200);
    expect((await revokeOperator('ina')).status).toBe(200);
    const rotate = await postJson(coordinator, '/v1/operators/ina/rotate', OPERATOR, {});
    expect(await errorOf(rotate)).toMatchObject({ code: 'conflict' });
    const again = { name: 'ina', role: 'viewer' };
    const taken = await postJson(coordinator, '/v1/operators', OPERATOR, again);
    expect(await errorOf(taken)).toMatchObject({ code: 'name_taken' });
  });

  it.each([
    ['POST', '/v1/operators', { name: 'back-door', role: 'admin' }],
    ['POST', '/v1/operators/ada/rotate', {}],
    ['POST', '/v1/runs/:run/clients', { name: 'back-door' }],
    ['POST', '/v1/runs/:run/clients/anna/rotate', {}],
    ['POST', '/v1/runs', {}],
    ['PUT', `/v1/blobs/${sha256(Buffer.from('{}'))}`, {}],
  ])('bring nothing to an end that they began before: %s %s', async (method, path, message) => {
    const name = `op-${sha256(Buffer.from(path)).slice(0, 8)}`;
    const token = await addOperator(name, 'admin');
    const wire = openWire(coordinator.url);
    await once(wire.socket, 'connect');
    const body = Buffer.from(JSON.stringify(message));
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': body.byteLength,
      [SHA256_HEADER]: sha256(body),
      connection: 'close',
    };
    wire.send(head(headers, `${method} ${path.replace(':run', runId)} HTTP/1.1`));
    wire.send(body.subarray(0, -1));
    // Whoever is asked later is answered later: by then it was let in.
    await request(coordinator, '/v1/operators', OPERATOR);
    await revokeOperator(name);
    wire.send(body.subarray(-1));
    const { status, error } = parseAnswer(await wire.answer);
    expect([status, error.code]).toEqual([403, 'revoked']);
  });

  it('leave the configured one as it is, and what the ledger calls by no name', async () => {
    for (const name of ['root', 'itself']) {
      const wanted = { name, role: 'viewer' };
      const taken = await postJson(coordinator, '/v1/operators', OPERATOR, wanted);
      expect(await errorOf(taken)).toMatchObject({ code: 'name_taken' });
    }
    expect(await errorOf(await revokeOperator('root'))).toMatchObject({ code: 'conflict' });
    expect(await errorOf(await revokeOperator('nobody'))).toMatchObject({ code: 'not_found' });
  });

  it('are named in the ledgers by what they did, and no token is', async () => {
    const admin = tokens['an admin']!;
    const token = await addOperator('max', 'operator', admin);
    await postJson(coordinator, `/v1/runs/${runId}/clients`, token, { name: 'site-by-max' });
    const runs = await request(coordinator, `/v1/runs/${runId}/events`, OPERATOR);
    const own = await request(coordinator, '/v1/events', OPERATOR);
    const [text, ownText] = [await runs.text(), await own.text()];
    expect(text).toContain('"client":"site-by-max","role":"source","state":"pending","by":"max"');
    expect(ownText).toContain('"operator":"max","role":"operator","by":"ada"');
    expect(text + ownText).not.toMatch(/tr[ob]_/);
  });
});
