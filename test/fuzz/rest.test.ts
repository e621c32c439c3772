/** Requests of every shape to every route, by everybody: each has an answer, and none of them is 500. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { failure } from '../../protocol/http.js';
import { initialModel, plainRun } from '../support/plain-task.js';
import { sha256 } from '../support/raw-client.js';
import { OPERATOR_TOKEN } from '../support/stage.js';
import { jsonText, nastyValue, spoilt } from './support/arbitraries.js';
import type { Victim } from './support/victim.js';
import { openVictim } from './support/victim.js';

let victim: Victim;
beforeAll(async () => {
  victim = await openVictim();
});
afterAll(() => victim.close());

/** `:run` is a run that is there; `:any` is anything. */
const routes = [
  ...['/healthz', '/readyz', '/metrics', '/openapi.json', '/v1/rules', '/v1/runs', '/v1/me'],
  ...[
    '/v1/events',
    '/v1/ledger-key',
    '/v1/operators',
    '/v1/operators/:any/rotate',
    '/v1/blobs/:any',
  ],
  ...['/v1/runs/:run', '/v1/runs/:any', '/v1/runs/:run/task', '/v1/runs/:run/plan'],
  ...['/v1/runs/:run/clients', '/v1/runs/:run/clients/:any/revoke', '/v1/runs/:run/join'],
  ...['/v1/runs/:run/pause', '/v1/runs/:run/resume', '/v1/runs/:run/rounds/:any'],
  ...['/v1/runs/:run/events', '/v1/runs/:run/checkpoints/:any', '/v1/runs/:run/stop'],
  ...['/v1/assignments/:any/update', '/v1/assignments/:any/weight', '/v1/questions/:any/params'],
  ...['/v1/assignments/:any/evaluation', '/v1/questions/:any/answer', '/sdk/:any', '/:any'],
];
const strange = [
  ...[
    '..%2f..%2fetc%2fpasswd',
    '%00',
    '%E0%A4%A',
    '-1',
    '0',
    '1',
    '1e9',
    'newest',
    'a'.repeat(300),
  ],
  ...[
    '__proto__',
    'constructor',
    sha256(initialModel),
    '%ff',
    '%0d%0aset-cookie:a',
    "';--",
    '?',
    '#',
  ],
];
const path = fc
  .tuple(fc.constantFrom(...routes), fc.oneof(fc.constantFrom(...strange), fc.webSegment()))
  .map(
    ([route, any]) =>
      (run: string) =>
        route.replace(':run', run).replace(':any', any),
  );

const good = [
  { ...plainRun(2), init: { blob: sha256(initialModel) } },
  { name: 'mallory', role: 'source' },
  { numExamples: 3, sums: { loss: 1.5 } },
  { name: 'guest' },
];
const body = fc.option(
  fc.oneof(
    fc.constantFrom(...good).chain(spoilt),
    nastyValue,
    fc.uint8Array({ maxLength: 300 }),
    fc.string(),
  ),
);

const headers = fc.record(
  {
    authorization: fc.constantFrom('operator', 'client', 'Bearer', 'Basic eDp5', 'Bearer x y', ''),
    'content-type': fc.constantFrom(
      'application/json',
      'text/plain',
      'application/json; charset=x',
    ),
    'content-encoding': fc.constantFrom('gzip', 'identity', 'br'),
    'x-tributary-sha256': fc.constantFrom(
      'a'.repeat(64),
      'A'.repeat(64),
      'x',
      sha256(initialModel),
    ),
    range: fc.constantFrom('bytes=0-1', 'bytes=99-1', 'x'),
    'if-none-match': fc.constantFrom('*', '"x"'),
    origin: fc.constantFrom('https://evil.example', 'null'),
    'x-request-id': fc.string({ maxLength: 80 }).filter((text) => /^[\x20-\x7e]*$/.test(text)),
  },
  { requiredKeys: [] },
);

const request = fc.record({
  method: fc.constantFrom(
    'GET',
    'GET',
    'POST',
    'POST',
    'PUT',
    'DELETE',
    'PATCH',
    'OPTIONS',
    'HEAD',
  ),
  path,
  query: fc.oneof(
    fc.constant(''),
    fc.constantFrom('?attempt=x', '?attempt=1&attempt=2', '?from=-1&limit=1e9'),
  ),
  headers,
  body,
});

function bytesOf(value: unknown): Uint8Array<ArrayBuffer> | string {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  return typeof value === 'string' ? value : jsonText(value);
}

type Sent = typeof request extends fc.Arbitrary<infer T> ? T : never;

async function send(sent: Sent): Promise<Response> {
  const { method, headers: given, body: content } = sent;
  const tokens: Partial<Record<string, string>> = {
    operator: `Bearer ${OPERATOR_TOKEN}`,
    client: `Bearer ${victim.bait.tokens['eve-1']}`,
  };
  const { authorization, ...others } = given;
  const hasBody = content !== null && method !== 'GET' && method !== 'HEAD';
  return fetch(victim.url + sent.path(victim.bait.id) + sent.query, {
    method,
    headers: {
      ...others,
      ...(authorization && { authorization: tokens[authorization] ?? authorization }),
    },
    ...(hasBody && { body: bytesOf(content) }),
    signal: AbortSignal.timeout(20_000),
  });
}

async function expectAnswer(response: Response, method: string): Promise<void> {
  const text = await response.text();
  expect(response.status, text).toBeLessThan(500);
  expect(text).not.toMatch(/\n\s+at .+:\d+:\d+/);
  if (response.status < 400 || method === 'HEAD') return;
  const { error } = failure.parse(JSON.parse(text));
  expect(error.help.length).toBeGreaterThan(0);
}

it('every request is answered in our own words', { timeout: 240_000 }, async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(request, async (sent) => {
      if (++runs === 400) victim.warm();
      await expectAnswer(await send(sent), sent.method);
    }),
    { numRuns: 2500 },
  );
});

it('and after all that nothing has happened', () => victim.expectUnharmed());
