/** What clients say on the control channel, and what hostile ones can not do there. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import { OPERATOR, enrol, request, startCoordinator } from './support/coordinator.js';
import type { RunWithClient } from './support/joined.js';
import { detailOf, runWithClient, runWithPeer } from './support/joined.js';
import { coordinator, useCoordinator } from './support/one-coordinator.js';
import { Peer, reservedEvents } from './support/peer.js';

useCoordinator();

let url: string;
beforeAll(() => {
  ({ url } = coordinator);
});

/** A run with one client that is enrolled, and not there yet. */
function enrolled(changes: Partial<RunSpecInput> = {}): Promise<RunWithClient> {
  return runWithClient(coordinator, changes);
}

describe('messages', () => {
  it('of hello and progress are shown to operators, while the client is there', async () => {
    const { runId, token } = await enrolled();
    const software = { backends: ['wasm', 'cpu'], sdkVersion: '1.2.3' };
    const peer = await Peer.join(url, token, software);
    expect((await detailOf(coordinator, runId)).clients[0]).toMatchObject({
      ...software,
      loss: null,
    });
    const { id } = await peer.assignment();
    const answer = await peer.send('progress', { assignmentId: id, fraction: 0.25, loss: 1.5 });
    expect(answer).toEqual({ ok: true, value: null });
    const shown = { ...software, progress: 0.25, loss: 1.5 };
    expect((await detailOf(coordinator, runId)).clients[0]).toMatchObject(shown);
    const unknown = await peer.send('progress', { assignmentId: 'of-another', fraction: 1 });
    expect(unknown).toMatchObject({ ok: false, error: { code: 'assignment_unknown' } });
  });

  it('that decline end the assignment', async () => {
    const { runId, token } = await enrolled({ retries: 0 });
    const peer = await Peer.join(url, token);
    const { id } = await peer.assignment();
    expect(await peer.send('decline', { assignmentId: id, reason: 'no memory' })).toMatchObject({
      ok: true,
    });
    await peer.announced('failed');
    expect((await detailOf(coordinator, runId)).history[0]).toMatchObject({
      phase: 'abandoned',
      dropped: 1,
    });
  });

  it('about the assignment of another client are refused', async () => {
    const { runId, token } = await enrolled({ quorum: { min: 2 } });
    const other = await enrol(coordinator, runId, 'bert');
    const [anna, bert] = [await Peer.join(url, token), await Peer.join(url, other.token)];
    const { id } = await anna.assignment();
    const answer = await bert.send('decline', { assignmentId: id, reason: 'mine now' });
    expect(answer).toMatchObject({ ok: false, error: { code: 'assignment_unknown' } });
  });

  it('reach only the clients of their run', async () => {
    const [one, two] = [await enrolled(), await enrolled()];
    const [a, b] = [await Peer.join(url, one.token), await Peer.join(url, two.token)];
    await Promise.all([a.assignment(), b.assignment()]);
    await request(coordinator, `/v1/runs/${one.runId}/stop`, OPERATOR, { method: 'POST' });
    await a.announced('stopped');
    await b.send('progress', {}); // a round trip: whatever was sent before has arrived
    expect(b.received('closed')).toEqual([]);
    expect(b.received('run').filter(({ status }) => status !== 'running')).toEqual([]);
  });

  const wrong: [string, string, unknown[]][] = [
    ['no event of ours', 'train', [{}]],
    ['the name of an inherited property', 'constructor', [{}]],
    ['the event that Node throws for', 'error', [{}]],
    ['__proto__', '__proto__', [{}]],
    ['no argument', 'progress', []],
    ['two arguments', 'progress', [{}, {}]],
    ['null', 'progress', [null]],
    ['a list', 'progress', [[1]]],
    ['bytes', 'progress', [Buffer.from('x')]],
    [
      'a polluted prototype',
      'decline',
      [JSON.parse('{"__proto__":{"ok":1},"assignmentId":"a","reason":""}') as unknown],
    ],
    ['an unknown field', 'progress', [{ assignmentId: 'a', fraction: 0, role: 'target' }]],
    ['a share over 1', 'progress', [{ assignmentId: 'a', fraction: 2 }]],
    ['a reason without end', 'decline', [{ assignmentId: 'a', reason: 'x'.repeat(10_000) }]],
  ];
  it.each(wrong)('with %s are bad requests', async (_what, event, args) => {
    const { token } = await enrolled();
    const peer = await Peer.join(url, token);
    const answer = await peer.send(event, ...args);
    expect(answer).toMatchObject({ ok: false, error: { code: 'bad_request' } });
    expect(({} as Record<string, unknown>).ok).toBeUndefined();
  });

  it('of any kind leave the coordinator and the connection as they were', async () => {
    const patient = await startCoordinator({
      limits: { messages: { burst: 1e6, perSecond: 1e6 } },
    });
    const { peer } = await runWithPeer(patient);
    const { id } = await peer.assignment();
    const event = fc.oneof(fc.constantFrom('hello', 'progress', 'decline', 'error'), fc.string());
    const shape = fc.record({
      assignmentId: fc.anything(),
      fraction: fc.anything(),
      reason: fc.anything(),
    });
    const argument = fc.oneof(
      fc.jsonValue(),
      shape.map((value) => JSON.parse(JSON.stringify(value)) as unknown),
    );
    await fc.assert(
      fc.asyncProperty(
        event,
        fc.array(argument, { maxLength: 3 }),
        fc.boolean(),
        async (name, args, ack) => {
          fc.pre(!reservedEvents.has(name));
          if (!ack) peer.socket.emit(name, ...args);
          else expect(await peer.send(name, ...args)).toMatchObject({ ok: false });
        },
      ),
      { numRuns: 300, seed: 7 },
    );
    expect(await peer.send('progress', { assignmentId: id, fraction: 1 })).toMatchObject({
      ok: true,
    });
  });

  it('that come too fast are refused, and who goes on is thrown out', async () => {
    const { token } = await enrolled();
    const peer = await Peer.join(url, token);
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => peer.send('progress', { assignmentId: 'a', fraction: 0 })),
    );
    const codes = answers.map((answer) => (answer.ok ? 'ok' : answer.error.code));
    expect(codes[0]).toBe('assignment_unknown');
    expect(codes.at(-1)).toBe('rate_limited');
    for (let i = 0; i < 400; i++) peer.socket.emit('progress', {});
    expect(await peer.nth('goodbye')).toMatchObject({ code: 'rate_limited', retryable: true });
    await peer.disconnected();
  });
});

describe('packets that no client library sends', () => {
  /** Sends packets of Engine.IO as they are, after a proper handshake. */
  async function sendRaw(token: string, packets: readonly string[]): Promise<void> {
    const address = `${url}/socket.io/?EIO=4&transport=polling`;
    const opened = await (await fetch(address)).text();
    const { sid } = JSON.parse(opened.slice(1)) as { sid: string };
    const session = `${address}&sid=${sid}`;
    const post = async (body: string): Promise<void> => {
      await (await fetch(session, { method: 'POST', body })).text();
    };
    await post(`40${JSON.stringify({ token })}`);
    expect(await (await fetch(session)).text()).toMatch(/^40/);
    for (const packet of packets) await post(packet);
    await post('1'); // leaves, if it has not been thrown out
  }

  const broken: [string, string[]][] = [
    ['nothing', ['']],
    ['an unknown packet', ['9']],
    ['an event without JSON', ['42']],
    ['an event that is broken JSON', ['42["hello",{']],
    ['an event that is no list', ['42{"hello":1}']],
    ['an event without a name', ['42[]']],
    ['an event with a number for a name', ['421[7,{}]']],
    ['a reserved event', ['42["disconnect"]']],
    ['an acknowledgement that was not asked for', ['4399[1]']],
    ['attachments that never come', ['45100000-["hello",{"_placeholder":true,"num":0}]']],
    ['a placeholder out of range', ['451-["hello",{"_placeholder":true,"num":-1}]', 'bAQ==']],
    ['bytes out of the blue', ['bAQID']],
    ['another namespace', ['40/admin,{"token":"x"}', '42/admin,["hello",{}]']],
    ['depth', [`42["hello",${'['.repeat(30_000)}${']'.repeat(30_000)}]`]],
    ['more than a message may hold', [`42["hello","${'x'.repeat(70_000)}"]`]],
    ['many packets in one', [Array<string>(5_000).fill('42["hello"]').join('\u001e')]],
  ];
  it.each(broken)('%s ends at most the connection that sent it', async (_what, packets) => {
    // A cohort of all would wait for bert, who never says hello.
    const { runId, token } = await enrolled({ cohort: { size: 1 } });
    const other = await enrol(coordinator, runId, 'bert');
    const bystander = await Peer.join(url, token);
    const { id } = await bystander.assignment();
    await sendRaw(other.token, packets);
    const answer = await bystander.send('progress', { assignmentId: id, fraction: 0.5 });
    expect(answer).toEqual({ ok: true, value: null });
  });

  it.each([
    ['?EIO=3&transport=polling'],
    ['?EIO=4&transport=carrier-pigeon'],
    ['?EIO=4&transport=polling&sid=none'],
    [''],
  ])('a handshake of another kind is refused: %s', async (query) => {
    const response = await fetch(`${url}/socket.io/${query}`);
    expect(response.status).toBe(400);
    await response.text();
  });
});
