/** The REST side is what its table says: no call more, none less, for whom it says, with those answers. */
import { createHash } from 'node:crypto';
import express from 'express';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { type ApiRoute, answerSchemas, apiRoutes, bodySchemas } from '../../protocol/api.js';
import { openApiDocument } from '../../server/adapters/http/openapi.js';
import type { Coordinator } from '../../server/app.js';
import type { Json } from '../../server/core/rules/rule.js';
import { packageVersion } from '../../server/version.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  postJson,
  request,
  startCoordinator,
} from './support/coordinator.js';
import { Peer } from './support/peer.js';

closeCoordinators('all');

let coordinator: Coordinator;
/** As Express was given them: `get /v1/runs/:run`. */
const registered = new Set<string>();
const tokens: Partial<Record<'viewer' | 'operator' | 'admin' | 'client', string>> = {};
let client: Peer;
let values: Record<string, string>;

beforeAll(async () => {
  const verbs = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options', 'all'] as const;
  for (const verb of verbs) {
    const original = Reflect.get(express.application, verb) as (...args: unknown[]) => unknown;
    vi.spyOn(express.application, verb).mockImplementation(function (
      this: unknown,
      ...args: unknown[]
    ) {
      // With one argument, `get` reads a setting.
      if (args.length > 1) registered.add(`${verb} ${String(args[0])}`);
      return original.apply(this, args) as never;
    });
  }
  coordinator = await startCoordinator();
  vi.restoreAllMocks();
  for (const role of ['viewer', 'operator', 'admin'] as const) {
    const answer = await postJson(coordinator, '/v1/operators', OPERATOR, { name: role, role });
    tokens[role] = ((await answer.json()) as { token: string }).token;
  }
  const run = await createRun(coordinator);
  tokens.client = (await enrol(coordinator, run.id, 'anna')).token;
  client = await Peer.join(coordinator.url, tokens.client);
  const { id } = await client.assignment();
  const sha256 = createHash('sha256').update('nothing').digest('hex');
  values = { run: run.id, client: 'anna', name: 'viewer', round: '1', version: '0', id, sha256 };
});
afterAll(() => client.leave());

function call(route: ApiRoute, token: string | null): Promise<Response> {
  const path = route.path.replace(/:(\w+)/g, (_, name: string) => values[name]);
  const body = route.method === 'get' ? null : '{}';
  const headers = { 'content-type': 'application/json' };
  return request(coordinator, path, token, { method: route.method.toUpperCase(), headers, body });
}

describe('the table of calls', () => {
  it('has every route that there is, and no other', () => {
    const documented = apiRoutes.map(({ method, path }) => `${method} ${path}`);
    expect(documented.sort()).toEqual([...registered].sort());
    const ids = apiRoutes.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  /** Who may make a call; everybody else is told that they may not. */
  const allowed: Record<ApiRoute['who'], readonly (keyof typeof tokens)[]> = {
    anyone: ['viewer', 'operator', 'admin', 'client'],
    viewer: ['viewer', 'operator', 'admin'],
    operator: ['operator', 'admin'],
    admin: ['admin'],
    client: ['client'],
    reader: ['operator', 'admin', 'client'],
  };

  it.each(apiRoutes.map((route) => [`${route.method} ${route.path}`, route] as const))(
    '%s is for whom it says',
    async (_, route) => {
      const stranger = await call(route, null);
      if (route.who === 'anyone') expect(stranger.status).not.toBe(401);
      else expect((await errorOf(stranger)).code).toBe('unauthorized');
      for (const who of ['viewer', 'operator', 'admin', 'client'] as const) {
        if (allowed[route.who].includes(who)) continue;
        const answer = await call(route, tokens[who]!);
        expect([who, answer.status, (await errorOf(answer)).code]).toEqual([who, 403, 'forbidden']);
      }
    },
  );

  const readable = apiRoutes.filter(
    ({ method, answer: [, content] }) => method === 'get' && content in answerSchemas,
  );
  it.each(readable.map((route) => [route.path, route] as const))(
    'get %s answers in its schema, or with an error that it names',
    async (_, route) => {
      const token = route.who === 'client' ? tokens.client! : tokens.admin!;
      const answer = await call(route, token);
      const body: unknown = await answer.json();
      // No key of the ledgers where the store is one of the test's own.
      expect(answer.ok).toBe(route.path !== '/v1/ledger-key');
      if (!answer.ok) {
        const { error } = answerSchemas.Failure.parse(body);
        expect(route.codes).toContain(error.code);
        return;
      }
      const schema: z.ZodType = answerSchemas[route.answer[1] as keyof typeof answerSchemas];
      expect(schema.parse(body)).toEqual(body);
    },
  );
});

describe('the OpenAPI document', () => {
  const document = openApiDocument(packageVersion);

  it('is served to anybody', async () => {
    const answer = await request(coordinator, '/openapi.json', null);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual(document);
  });

  const operation = z.strictObject({
    operationId: z.string().regex(/^[a-z][A-Za-z]+$/),
    summary: z.string().min(5),
    description: z.string().min(5),
    security: z.array(z.record(z.string(), z.array(z.string()))),
    parameters: z.array(
      z.strictObject({
        name: z.string(),
        in: z.enum(['path', 'query', 'header']),
        required: z.boolean(),
        description: z.string().min(5),
        schema: z.object({ type: z.string() }),
      }),
    ),
    requestBody: z.strictObject({ required: z.boolean(), content: z.looseObject({}) }).optional(),
    responses: z.record(z.string().regex(/^[1-5]\d\d$/), z.looseObject({})),
  });

  it('has the structure of OpenAPI 3.1', () => {
    expect(document.openapi).toMatch(/^3\.1\.\d$/);
    const info = z.looseObject({ title: z.string(), version: z.string() });
    info.parse(document.info);
    const methods = z.partialRecord(z.enum(['get', 'put', 'post']), operation);
    const paths = z.record(z.string().startsWith('/'), methods).parse(document.paths);
    for (const [path, calls] of Object.entries(paths)) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(path).not.toContain(':');
      for (const { parameters, responses } of Object.values(calls)) {
        const named = parameters.filter((p) => p.in === 'path').map(({ name }) => name);
        expect(named).toEqual(inPath);
        expect(Object.keys(responses).some((status) => status.startsWith('2'))).toBe(true);
      }
    }
  });

  it('refers only to what it has, and has nothing of zod in it', () => {
    const known = document.components as { schemas: object; responses: object };
    const visit = (value: Json, path: string): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const [name, member] of Object.entries(value)) {
        expect(['$schema', '$id', '$defs'], path).not.toContain(name);
        if (name === '$ref') {
          const [, kind, target] = /^#\/components\/(schemas|responses)\/(\w+)$/.exec(
            typeof member === 'string' ? member : '',
          ) ?? ['', 'schemas', 'none'];
          expect(Object.keys(known[kind as 'schemas']), path).toContain(target);
        }
        visit(member, `${path}/${name}`);
      }
    };
    visit(document, '');
    expect(JSON.stringify(document)).not.toContain('__shared');
    const names = [...Object.keys(answerSchemas), ...Object.keys(bodySchemas), 'Json'];
    expect(Object.keys(known.schemas).sort()).toEqual(names.sort());
  });
});
