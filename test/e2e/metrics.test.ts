/** What Prometheus reads: who may, what is counted, and that it holds when other things do not. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import type { Coordinator } from '../../server/app.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('each');
leaveAfterEach();
afterEach(() => {
  vi.restoreAllMocks();
});

async function textOf(coordinator: Coordinator): Promise<string> {
  const answer = await request(coordinator, '/metrics', OPERATOR);
  expect(answer.status).toBe(200);
  return answer.text();
}

/** A sample's value; undefined where there is none. `labels` in any order. */
function value(
  text: string,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  for (const line of text.split('\n')) {
    const [, found, inner = '', number] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (found !== name) continue;
    const has = Object.entries(labels).every(([k, v]) => inner.includes(`${k}="${v}"`));
    if (has) return Number(number);
  }
  return undefined;
}

/** Requests are counted when their connection is done with them, which the peer does not see. */
async function eventually(coordinator: Coordinator, check: (text: string) => void): Promise<void> {
  await vi.waitFor(async () => check(await textOf(coordinator)), { timeout: 5_000, interval: 20 });
}

describe('metrics', () => {
  it('are for operators, or for everybody where that is said', async () => {
    const closed = await startCoordinator();
    const run = await createRun(closed);
    const { token } = await enrol(closed, run.id, 'anna');
    expect((await request(closed, '/metrics', null)).status).toBe(401);
    expect((await request(closed, '/metrics', token)).status).toBe(403);
    const answer = await request(closed, '/metrics', OPERATOR);
    expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    const open = await startCoordinator({ metrics: 'open' });
    expect((await request(open, '/metrics', null)).status).toBe(200);
  });

  it('count what happens in a round, under labels that no client can make more of', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, { rounds: 1 });
    const { token } = await enrol(coordinator, run.id, 'anna-of-the-metrics');
    const peer = await Peer.join(coordinator.url, token);
    const { id } = await peer.assignment();
    const during = await textOf(coordinator);
    expect(value(during, 'tributary_clients_present')).toBe(1);
    expect(value(during, 'tributary_sockets')).toBe(1);
    expect(value(during, 'tributary_runs', { status: 'running' })).toBe(1);
    expect(value(during, 'tributary_runs', { status: 'failed' })).toBe(0);
    expect(value(during, 'tributary_leading')).toBe(1);

    const file = updateFile(id);
    await putUpdate(coordinator, id, token, file);
    await putUpdate(coordinator, id, token, file);
    await request(coordinator, '/v1/runs/no-such-run', OPERATOR);
    await request(coordinator, '/made-up/12345', OPERATOR);
    await new Peer(coordinator.url, { token: 'nobody-has-this-token' }).refused();
    await peer.nth('weighed');

    await eventually(coordinator, (text) => {
      const route = '/v1/assignments/:id/update';
      const requests = 'tributary_http_requests_total';
      expect(value(text, requests, { method: 'PUT', route, status: '201' })).toBe(1);
      expect(value(text, requests, { route: 'other', status: '404' })).toBe(1);
      expect(value(text, requests, { route: '/v1/runs/:run', status: '404' })).toBe(1);
      expect(value(text, 'tributary_receipts_total', { status: 'accepted' })).toBe(1);
      expect(value(text, 'tributary_receipts_total', { status: 'duplicate' })).toBe(1);
      expect(value(text, 'tributary_upload_bytes_sum')).toBe(2 * file.byteLength);
      expect(value(text, 'tributary_rounds_total', { outcome: 'committed' })).toBe(1);
      expect(value(text, 'tributary_aggregation_duration_seconds_count')).toBe(1);
      expect(value(text, 'tributary_aggregations_in_progress')).toBe(0);
      const http = { entrance: 'http', code: 'run_not_found' };
      expect(value(text, 'tributary_refusals_total', http)).toBe(1);
      const socket = { entrance: 'socket', code: 'unauthorized' };
      expect(value(text, 'tributary_refusals_total', socket)).toBe(1);
      for (const secret of [run.id, id, 'anna-of-the-metrics', '12345', 'no-such-run']) {
        expect(text).not.toContain(secret);
      }
    });
  });

  it('are answered while the database is away, and past the limit of open files', async () => {
    const countRuns = () => Promise.reject(new Error('the database is away'));
    const coordinator = await startCoordinator({ store: { ...createMemoryStore(), countRuns } });
    vi.spyOn(process.memoryUsage, 'rss').mockImplementation(() => {
      throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    });
    const text = await textOf(coordinator);
    expect(value(text, 'tributary_runs')).toBeUndefined();
    expect(value(text, 'tributary_resident_memory_bytes')).toBeUndefined();
    expect(value(text, 'tributary_sockets')).toBe(0);
    vi.restoreAllMocks();
    const later = await textOf(coordinator);
    expect(value(later, 'tributary_resident_memory_bytes')).toBeGreaterThan(1e7);
    expect(value(later, 'tributary_event_loop_lag_seconds', { quantile: '0.99' })).toBeGreaterThan(
      0,
    );
  });

  it('are in the documentation by name, kind and labels, all of them and no others', async () => {
    const text = await textOf(await startCoordinator());
    const kinds = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, kind]) => [
      name,
      kind,
    ]);
    const docs = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const rows = [...docs.matchAll(/^\| `(tributary_\w+)` +\| (gauge|counter|histogram) /gm)];
    const documented = rows.map(([, name, kind]) => [name, kind]);
    expect(documented.sort()).toEqual(kinds.sort());
  });
});
