import { beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackHandlers } from '../../server/adapters/loopback.js';
import { createLoopback } from '../../server/adapters/loopback.js';
import type { Client } from '../../server/core/records.js';
import type { FakeEngine } from './support/fake-engine.js';
import { assignmentOf, fakeEngine } from './support/fake-engine.js';

const abilities = { trains: true, evaluates: false, oracleBatches: 3 };

function clientOf(id: string, runId = 'run'): Client {
  return { id, runId, role: 'source' };
}

/** Handlers that write down what they hear. */
function listener(): { heard: string[]; handlers: LoopbackHandlers } {
  const heard: string[] = [];
  return {
    heard,
    handlers: {
      assignment: ({ id }) => heard.push(`assignment ${id}`),
      closed: ({ assignmentId, reason }) => heard.push(`closed ${assignmentId}: ${reason}`),
      weighed: ({ assignmentId, weight }) => heard.push(`weighed ${assignmentId}: ${weight}`),
      run: ({ status }) => heard.push(`run ${status}`),
      goodbye: ({ code }) => heard.push(`goodbye ${code}`),
    },
  };
}

const delivered = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

let engine: FakeEngine;
let loopback: ReturnType<typeof createLoopback>;
beforeEach(() => {
  engine = fakeEngine();
  loopback = createLoopback();
  loopback.bind(engine);
});

describe('the loopback', () => {
  it('makes a client present before the engine hears that it joined', async () => {
    const present: number[] = [];
    engine.joined = () => void present.push(loopback.transport.present('run').length);
    await loopback.connect(clientOf('a'), abilities, listener().handlers);
    expect(present).toEqual([1]);
    expect(loopback.transport.present('run')).toEqual([{ ...clientOf('a'), ...abilities }]);
    expect(loopback.transport.present('other run')).toEqual([]);
  });

  it('tells each client what is meant for it, later and in order', async () => {
    const [a, b] = [listener(), listener()];
    await loopback.connect(clientOf('a'), abilities, a.handlers);
    await loopback.connect(clientOf('b'), abilities, b.handlers);
    const { transport } = loopback;
    transport.assign('a', assignmentOf({ id: 'a1' }));
    transport.closed('run', 'a', 'a1', 'over');
    transport.weighed('run', 'b', { assignmentId: 'b1', round: 1, version: 1, weight: 0.5 });
    transport.announce('run', { status: 'completed', round: 1, rounds: 1, version: 1 });
    transport.assign('nobody', assignmentOf({ id: 'x' }));
    expect([a.heard, b.heard]).toEqual([[], []]);
    await delivered();
    expect(a.heard).toEqual(['assignment a1', 'closed a1: over', 'run completed']);
    expect(b.heard).toEqual(['weighed b1: 0.5', 'run completed']);
  });

  it('keeps clients of one name in two runs apart', async () => {
    const [one, two] = [listener(), listener()];
    await loopback.connect(clientOf('a', 'one'), abilities, one.handlers);
    await loopback.connect(clientOf('a', 'two'), abilities, two.handlers);
    loopback.transport.assign('a', assignmentOf({ id: 'x', runId: 'two' }));
    await delivered();
    expect([one.heard, two.heard]).toEqual([[], ['assignment x']]);
  });

  it('resumes what is open for a client that connects', async () => {
    engine.open = [assignmentOf({ id: 'a1' }), assignmentOf({ id: 'a2' })];
    const { heard, handlers } = listener();
    await loopback.connect(clientOf('a'), abilities, handlers);
    await delivered();
    expect(heard).toEqual(['assignment a1', 'assignment a2']);
  });

  it('drops a client that disconnects, once', async () => {
    const { heard, handlers } = listener();
    const disconnect = await loopback.connect(clientOf('a'), abilities, handlers);
    loopback.transport.closed('run', 'a', 'a1', 'said before, heard after');
    disconnect();
    disconnect();
    await delivered();
    expect(heard).toEqual([]);
    expect(loopback.transport.present('run')).toEqual([]);
    expect(engine.calls).toEqual(['joined a', 'left a']);
  });

  it('lets a second connection take the place of the first without a flicker', async () => {
    const [old, young] = [listener(), listener()];
    const leaveOld = await loopback.connect(clientOf('a'), abilities, old.handlers);
    await loopback.connect(clientOf('a'), abilities, young.handlers);
    leaveOld();
    loopback.transport.assign('a', assignmentOf({ id: 'a1' }));
    await delivered();
    expect(old.heard).toEqual(['goodbye replaced']);
    expect(young.heard).toEqual(['assignment a1']);
    expect(loopback.transport.present('run')).toHaveLength(1);
    expect(engine.calls).toEqual(['joined a', 'joined a']);
  });

  it('says so where nobody bound it to an engine', async () => {
    const connecting = createLoopback().connect(clientOf('a'), abilities, listener().handlers);
    await expect(connecting).rejects.toThrow('not bound');
  });
});
