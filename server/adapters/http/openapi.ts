/** The OpenAPI document of the REST side, made from the table of calls in protocol/api.ts. */
import type { Router } from 'express';
import { type ApiRoute, apiRoutes } from '../../../protocol/api.js';
import { errorKinds, type ErrorCode } from '../../../protocol/errors.js';
import { SHA256_HEADER } from '../../../protocol/http.js';
import type { Json } from '../../core/rules/rule.js';
import { componentSchemas, type JsonObject, reference } from './openapi-schemas.js';

export function openApiRoutes(router: Router, { version }: { readonly version: string }): void {
  let document: JsonObject | undefined;
  router.get('/openapi.json', (_req, res) => {
    res.json((document ??= openApiDocument(version)));
  });
}

const about = `Every failure has the body \`Failure\`, with a code, what to do next, and whether sending the
same thing again can help. Operators and clients send their token as \`Authorization: Bearer …\`. Live
messages go over Socket.IO at \`/socket.io/\`, in the shapes of protocol/messages.ts.`;

export function openApiDocument(version: string): JsonObject {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of apiRoutes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tributary',
      version,
      description: about.replaceAll('\n', ' '),
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      responses: { Failure: failureResponse() },
      schemas: componentSchemas(),
    },
  };
}

function operation(route: ApiRoute): Json {
  const { id, who, summary, body } = route;
  const codes = codesOf(route);
  const named = codes.map((code) => `\`${code}\``).join(', ');
  return {
    operationId: id,
    summary,
    description: `${roles[who]} Errors: ${named}.`,
    security: who === 'anyone' ? [] : [{ token: [] }],
    parameters: parametersOf(route),
    ...(body && { requestBody: { required: true, content: contentOf(body) } }),
    responses: { ...answersOf(route), ...failuresOf(codes) },
  };
}

const roles: Readonly<Record<ApiRoute['who'], string>> = {
  anyone: 'Anyone may call this, without a token.',
  viewer: 'For operators of any role.',
  operator: 'For operators with the role operator or admin.',
  admin: 'For operators with the role admin.',
  client: 'For clients.',
  reader: 'For clients of the run, and operators with the role operator or admin.',
};

const parameters: Readonly<Record<string, string>> = {
  run: 'Id of the run',
  client: 'Id of the client: the name that it was enrolled under',
  name: 'Name of the operator',
  round: 'Number of the round, from 1',
  version: 'Rounds before it, 0 for the start; for operators also "newest"',
  id: 'Id of the assignment, or of the question',
  sha256: 'sha256 of the bytes, 64 lower-case hex digits',
};

function parametersOf({ path, body, query = {} }: ApiRoute): Json[] {
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name);
  const text = { type: 'string' };
  const hash = { name: SHA256_HEADER, in: 'header', description: 'sha256 of the body' };
  return [
    ...names.map((name) => ({
      ...{ name, in: 'path', required: true, description: parameters[name] },
      schema: name === 'round' ? { type: 'integer' } : text,
    })),
    ...Object.entries(query).map(([name, description]) => ({
      ...{ name, in: 'query', required: false, description },
      schema: { type: 'integer', minimum: 0 },
    })),
    ...(body === 'bytes' ? [{ ...hash, required: path.endsWith('/update'), schema: text }] : []),
  ];
}

function contentOf(what: ApiRoute['answer'][1] | NonNullable<ApiRoute['body']>): Json {
  if (what === 'bytes') return { 'application/octet-stream': {} };
  if (what === 'text') return { 'text/plain': { schema: { type: 'string' } } };
  const schema = what === 'json' ? { type: 'object' } : reference(what);
  return { 'application/json': { schema } };
}

function answersOf({ answer: [status, what], id }: ApiRoute): JsonObject {
  const answer = (description: string): Json => ({ description, content: contentOf(what) });
  const asked = { [String(status)]: answer(status === 201 ? 'Created' : 'As asked for') };
  return id === 'putUpdate' ? { 200: answer('It was accepted before'), ...asked } : asked;
}

/** What may go wrong, whatever is asked; and what follows from who asks, and from what is sent. */
function codesOf({ who, path, body, codes = [] }: ApiRoute): ErrorCode[] {
  const token: ErrorCode[] = ['unauthorized', 'token_expired', 'revoked', 'forbidden'];
  const sent: ErrorCode[] = ['too_large', 'truncated', 'too_slow'];
  const always: ErrorCode[] = ['bad_request', 'origin_refused', 'rate_limited', 'internal'];
  const all = new Set<ErrorCode>([
    ...always,
    ...(path.startsWith('/v1/') ? (['storage_unavailable', 'shutting_down'] as const) : []),
    ...(who === 'anyone' ? [] : token),
    ...(who === 'client' || who === 'reader' ? (['not_approved'] as const) : []),
    ...(path.includes(':run') ? (['run_not_found'] as const) : []),
    ...(body ? sent : []),
    ...(body === 'bytes' ? (['wrong_hash', 'storage_full'] as const) : []),
    ...codes,
  ]);
  return [...all].sort();
}

/** The statuses that the errors have; the operation's description names their codes. */
function failuresOf(codes: readonly ErrorCode[]): JsonObject {
  const statuses = new Set(codes.map((code) => errorKinds[code].status));
  const failure = { $ref: '#/components/responses/Failure' };
  return Object.fromEntries([...statuses].map((status) => [String(status), failure]));
}

/** Every code with the next thing to try. */
function failureResponse(): Json {
  const lines = Object.entries(errorKinds).map(
    ([code, { status, help }]) => `- \`${code}\` (${status}): ${help}`,
  );
  return {
    description: `An error, with one of these codes:\n${lines.join('\n')}`,
    content: { 'application/json': { schema: reference('Failure') } },
  };
}
