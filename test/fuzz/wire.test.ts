/** Bytes on a connection, before there is any HTTP: whatever they are, the coordinator goes on. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openWire } from '../e2e/support/tcp.js';
import { mangled } from './support/arbitraries.js';
import type { Victim } from './support/victim.js';
import { openVictim } from './support/victim.js';

let victim: Victim;
beforeAll(async () => {
  victim = await openVictim();
});
afterAll(() => victim.close());

const requests = [
  'GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n',
  'POST /v1/runs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
  'PUT /v1/assignments/a/update HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
].map((text) => Buffer.from(text, 'latin1'));

/** Sends bytes, ends its half, and waits until the other side has hung up. */
async function exchange(bytes: Uint8Array): Promise<string> {
  const wire = openWire(victim.url);
  wire.socket.end(bytes);
  return wire.answer;
}

function expectAnswer(answer: string): void {
  if (answer === '') return;
  const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(answer) ?? [];
  expect(status, answer.slice(0, 200)).toBeDefined();
  expect(Number(status), answer.slice(0, 500)).toBeLessThan(500);
  expect(answer).not.toMatch(/\n\s+at .+:\d+:\d+/);
}

it('random bytes are hung up on or answered', async () => {
  const bytes = fc.uint8Array({ maxLength: 600 });
  await fc.assert(
    fc.asyncProperty(bytes, async (sent) => expectAnswer(await exchange(sent))),
    { numRuns: 800 },
  );
});

it('requests with bytes that are changed, cut or doubled are hung up on or answered', async () => {
  victim.warm();
  const bytes = fc.constantFrom(...requests).chain(mangled);
  await fc.assert(
    fc.asyncProperty(bytes, async (sent) => expectAnswer(await exchange(sent))),
    { numRuns: 1500 },
  );
});

it('frames of a WebSocket that make no sense end that connection and no other', async () => {
  const upgrade = requests[requests.length - 1];
  const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(frames, async (sent) => {
      const answer = await exchange(Buffer.concat([upgrade, ...sent]));
      expect(answer).toMatch(/^HTTP\/1\.1 101 /);
    }),
    { numRuns: 400 },
  );
});

it('and after all that nothing has happened', () => victim.expectUnharmed());
