/** What commands say of an answer that no coordinator gives. */
import { describe, expect, it } from 'vitest';
import { connectApi, explain } from '../../server/cli/api.js';
import type { Api } from '../../server/cli/api.js';

/** At an address where everything is answered alike. */
function apiAt(body: string): Api {
  const fetch = (): Promise<Response> => Promise.resolve(new Response(body, { status: 200 }));
  return connectApi('http://elsewhere:8080/', 'token', { fetch });
}

const calls: [string, (api: Api) => Promise<unknown>][] = [
  ['run list', (api) => api.runs()],
  ['run show', (api) => api.run('r1')],
  ['site list', (api) => api.sites('r1')],
  ['an upload', (api) => api.putBlob(new Uint8Array(8))],
];

describe('an answer of another server', () => {
  it.each(calls)('to %s is said to be none of a coordinator', async (_, call) => {
    for (const body of ['<!DOCTYPE html>', '', 'null', '{"runs":7}', '{"id":1}']) {
      const error: unknown = await call(apiAt(body)).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'unreachable' });
      expect(explain(error)).toMatch(/^http:\/\/elsewhere:8080 answers, and not as .*\n.*--url/);
    }
  });
});

const unnamed: typeof calls = [
  ['run show', (api) => api.run('')],
  ['run stop', (api) => api.stop('')],
  ['run show --round 1', (api) => api.round('', 1)],
  ['site list', (api) => api.sites('')],
];

describe('a run without an id', () => {
  it.each(unnamed)('is refused by %s, and not taken for the list of all runs', async (_, call) => {
    const api = apiAt('{"runs":[]}');
    const noted = { code: 'run_not_found', message: 'the id of the run is empty' };
    await expect((async () => call(api))()).rejects.toMatchObject(noted);
  });
});
