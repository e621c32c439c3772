/** Bounds and races of enrolment, without doors. */
import { describe, expect, it } from 'vitest';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import { systemClock } from '../../server/adapters/system-clock.js';
import type { Change, RunStore } from '../../server/core/ports.js';
import { openRound } from '../../server/core/round.js';
import { membership } from '../../server/engine/clients.js';
import type { Membership } from '../../server/engine/membership.js';
import { checkpointOf, eventOf, runNamed, startedAt } from '../contract/records.js';
import type { RunSpec } from '../../protocol/run.js';

interface World {
  readonly sites: Membership;
  readonly store: ReturnType<typeof createMemoryStore>;
  readonly changes: Pick<Extract<Change, { kind: 'client' }>, 'runId' | 'clientId'>[];
}

async function worldWith(spec: Partial<RunSpec>): Promise<World> {
  const store = createMemoryStore();
  await create(store, spec);
  const changes: World['changes'] = [];
  const sites = membership({ store, clock: systemClock() }, (runId, clientId) => {
    changes.push({ runId, clientId });
    return Promise.resolve();
  });
  return { sites, store, changes };
}

async function create(store: RunStore, changes: Partial<RunSpec>): Promise<void> {
  const run = runNamed('r1');
  const rule = { name: 'fedavg', options: {} };
  const spec = { ...run.spec, rule, ...changes };
  const round = openRound('r1', 1, 1, 0, startedAt);
  await store.createRun({ ...run, spec }, checkpointOf('r1', 0), round, [eventOf('run-created')]);
}

describe('a run whose sites are approved', () => {
  it('keeps a thousand waiting, and no more until some were decided on', async () => {
    const { sites } = await worldWith({ join: 'approved' });
    for (let i = 0; i < 1000; i++) await sites.enrolItself('r1', `site-${i}`);
    const refused = await sites.enrolItself('r1').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'busy', retryable: true });
    expect(refused).toHaveProperty('retryAfterMs', expect.any(Number));
    await sites.approve('r1', 'site-3', 'olga');
    await expect(sites.enrolItself('r1')).resolves.toBeDefined();
    // Operators know what they do.
    await expect(sites.enrol('r1', 'invited', 'source')).resolves.toBeDefined();
  });

  it('gives two operators who decide at once one order', async () => {
    const { sites, store } = await worldWith({ join: 'approved' });
    for (let i = 0; i < 20; i++) {
      const id = `site-${i}`;
      await sites.enrolItself('r1', id);
      await Promise.allSettled([sites.approve('r1', id, 'ada'), sites.revoke('r1', id, 'bea')]);
      // Whoever was first: what was revoked stays so.
      expect((await store.client('r1', id))?.state).toBe('revoked');
    }
  });

  it('tells of every change, once it is stored', async () => {
    const { sites, changes } = await worldWith({ join: 'approved' });
    await sites.enrolItself('r1', 'a');
    await sites.approve('r1', 'a');
    await sites.approve('r1', 'a');
    await sites.rotate('r1', 'a');
    await sites.revoke('r1', 'a');
    await sites.revoke('r1', 'a');
    expect(changes).toEqual(Array(3).fill({ runId: 'r1', clientId: 'a' }));
  });
});

describe('a rule with one target', () => {
  const rule = { name: 'fedgp', options: { beta: 0.5 } };

  it('gets one of two that are enrolled at once through two coordinators', async () => {
    const { sites, store } = await worldWith({ rule });
    const elsewhere = membership({ store, clock: systemClock() }, () => Promise.resolve());
    const outcomes = await Promise.allSettled([
      sites.enrol('r1', 'here', 'target'),
      elsewhere.enrol('r1', 'there', 'target'),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes).toContainEqual(
      expect.objectContaining({ reason: expect.objectContaining({ code: 'conflict' }) as unknown }),
    );
    expect(await store.clients('r1')).toHaveLength(1);
  });

  it('leaves other rules as many targets as they like', async () => {
    const { sites, store } = await worldWith({});
    await sites.enrol('r1', 'first', 'target');
    await sites.enrol('r1', 'second', 'target');
    expect(await store.clients('r1')).toHaveLength(2);
  });

  it('has room for another when the first was revoked', async () => {
    const { sites } = await worldWith({ rule });
    await sites.enrol('r1', 'first', 'target');
    await expect(sites.enrol('r1', 'second', 'target')).rejects.toThrow('"first" is it');
    await sites.revoke('r1', 'first');
    await sites.enrol('r1', 'second', 'target');
    await expect(sites.rotate('r1', 'first')).rejects.toMatchObject({ code: 'conflict' });
    await expect(sites.rotate('r1', 'second')).resolves.toBeDefined();
  });
});
