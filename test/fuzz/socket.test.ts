/** Messages of every shape on sockets that have connected well: each is acknowledged, none does harm. */
import fc from 'fast-check';
import type { Socket } from 'socket.io-client';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { errorBody } from '../../protocol/errors.js';
import { reservedEvents } from '../e2e/support/peer.js';
import { nastyValue, spoilt } from './support/arbitraries.js';
import type { Victim } from './support/victim.js';
import { openVictim } from './support/victim.js';

const EVES = 4;
let victim: Victim;
beforeAll(async () => {
  victim = await openVictim({ eves: EVES });
});
afterAll(() => victim.close());

const good = [
  { protocolVersion: 1, sdkVersion: 'test', backends: ['wasm'], trains: true, oracleBatches: 2 },
  { assignmentId: 'a', fraction: 0.5, loss: 1 },
  { assignmentId: 'a', reason: 'no' },
  { assignmentId: 'a' },
];
const names = ['hello', 'progress', 'decline', 'heartbeat'];
const event = fc
  .oneof(
    fc.constantFrom(...names),
    fc.constantFrom('assignment', 'goodbye', '__proto__', 'toString', '', 'a'.repeat(2000)),
    fc.string({ maxLength: 20 }),
  )
  .filter((name) => !reservedEvents.has(name));
const argument = fc.oneof(
  fc.constantFrom(...good).chain(spoilt),
  nastyValue,
  fc.uint8Array({ maxLength: 64 }),
);
const message = fc.record({
  event,
  args: fc.array(argument, { maxLength: 3 }),
});
/** Fewer than one connection may send at once. */
const conversation = fc.array(message, { minLength: 1, maxLength: 20 });

const ack = z.union([
  z.strictObject({ ok: z.literal(true), value: z.unknown() }),
  z.strictObject({ ok: z.literal(false), error: errorBody }),
]);

async function connected(auth: object): Promise<Socket> {
  const socket = io(victim.url, {
    auth,
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  return socket;
}

it('every message is acknowledged', { timeout: 240_000 }, async () => {
  let turn = 0;
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(conversation, async (messages) => {
      const name = `eve-${(turn++ % EVES) + 1}`;
      if (turn === 40) victim.warm();
      const socket = await connected({ token: victim.bait.tokens[name] });
      const gone = new Promise<'gone'>((resolve) =>
        socket.once('disconnect', () => resolve('gone')),
      );
      try {
        for (const { event: what, args } of messages) {
          const answer: unknown = await Promise.race([socket.emitWithAck(what, ...args), gone]);
          // A message that Socket.IO itself cannot take, such as one over its size, ends the connection.
          if (answer === 'gone') return;
          const { ok } = ack.parse(answer);
          if (!names.includes(what)) expect(ok).toBe(false);
          answered++;
        }
      } finally {
        socket.disconnect();
      }
    }),
    { numRuns: 300 },
  );
  expect(answered).toBeGreaterThan(1000);
});

it('a handshake of any shape is refused with a reason', async () => {
  const auth = fc.oneof(
    fc.dictionary(fc.string({ maxLength: 10 }), nastyValue),
    nastyValue.map((token) => ({ token })),
  );
  await fc.assert(
    fc.asyncProperty(auth, async (sent) => {
      const refusal: unknown = await connected(sent).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(Error);
      const { code } = errorBody.parse((refusal as Error & { data: unknown }).data);
      expect(['unauthorized', 'rate_limited', 'busy', 'bad_request']).toContain(code);
    }),
    { numRuns: 300 },
  );
});

it('packets of long polling that make no sense are refused', async () => {
  const base = `${victim.url}/socket.io/?EIO=4&transport=polling`;
  const packet = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.constantFrom(
      '40',
      '41',
      '42',
      '42[',
      '42["hello"',
      '420[]',
      '45-',
      '459999999-["a",{"_placeholder":true,"num":-1}]',
      '4',
      '\u001e',
      '1',
      '2probe',
      '6',
      'b',
      'bAAAA',
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(packet, { minLength: 1, maxLength: 3 }), async (packets) => {
      const opened = await (await fetch(base)).text();
      const sid = /"sid":"([^"]+)"/.exec(opened)?.[1];
      expect(sid).toBeDefined();
      const url = `${base}&sid=${sid}`;
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'text/plain;charset=UTF-8' },
        body: packets.join('\u001e'),
      });
      await response.text();
      expect(response.status).toBeLessThan(500);
    }),
    { numRuns: 400 },
  );
});

it('and after all that nothing has happened', () => victim.expectUnharmed());
