/** Clients that enrol themselves. */
import { describe, expect, it } from 'vitest';
import type { ClientStorage } from '../../client/types.js';
import type { Enrolled } from '../../protocol/http.js';
import type { Arrival } from './support/fake-coordinator.js';
import { accept, refuse } from './support/fake-coordinator.js';
import {
  coordinator,
  finishRun,
  log,
  nowTrain,
  start,
  until,
  useHarness,
} from './support/harness.js';

useHarness();

const TOKEN = 'token-of-a-guest';

function enrols(arrival: Arrival): void {
  const answer: Enrolled = {
    clientId: 'anna',
    role: 'source',
    token: TOKEN,
    state: 'approved',
    tokenExpiresAt: null,
  };
  coordinator.token = TOKEN;
  arrival.response.status(201).json(answer);
}

function memory() {
  const files = new Map<string, Uint8Array>();
  const storage: ClientStorage = {
    load: (key) => Promise.resolve(files.get(key) ?? null),
    save: (key, bytes) => Promise.resolve(void files.set(key, bytes)),
    remove: (key) => Promise.resolve(void files.delete(key)),
  };
  return { files, storage };
}

/** A client without a token of its own. */
function startGuest(options: Parameters<typeof start>[0]): ReturnType<typeof start> {
  return start({ token: undefined, run: 'r', ...options });
}

describe('a client without a token', () => {
  it('enrols itself in an open run, and takes part', async () => {
    coordinator.answers = [enrols, accept];
    const summary = startGuest({ name: 'anna', train: nowTrain });
    await log.nth('connected');
    const [{ path, authorization, body }] = coordinator.arrivals;
    expect([path, authorization]).toEqual(['/v1/runs/r/join', undefined]);
    expect(JSON.parse(new TextDecoder().decode(body))).toEqual({
      name: 'anna',
      key: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await log.nth('receipt');
    expect(coordinator.arrivals[1].authorization).toBe(`Bearer ${TOKEN}`);
    finishRun();
    expect(await summary).toMatchObject({ status: 'completed', rounds: [4] });
  });

  it('comes back as the same one, and forgets its token when the run is over', async () => {
    const { files, storage } = memory();
    coordinator.answers = [enrols];
    const first = new AbortController();
    const left = startGuest({ storage, signal: first.signal });
    await log.nth('connected');
    first.abort();
    await left;
    expect([...files.keys()]).toEqual(['r..token']);
    const summary = startGuest({ storage });
    await log.nth('connected', 2);
    expect(coordinator.arrivals).toHaveLength(1);
    finishRun();
    await summary;
    expect(files.size).toBe(0);
  });

  it('forgets a token that the coordinator does not know', async () => {
    const { files, storage } = memory();
    const key = 'ab'.repeat(32);
    files.set('r..token', new TextEncoder().encode(`${key} of-a-coordinator-long-gone`));
    await expect(startGuest({ storage })).rejects.toMatchObject({ code: 'unauthorized' });
    // By its secret it is the same client still, where that coordinator was the wrong one.
    coordinator.answers = [enrols];
    void startGuest({ storage });
    await log.nth('connected');
    expect(JSON.parse(new TextDecoder().decode(coordinator.arrivals[0].body))).toEqual({ key });
  });

  it('enrols anew where what it kept is none of ours', async () => {
    const { files, storage } = memory();
    files.set('r..token', new TextEncoder().encode('torn'));
    coordinator.answers = [enrols];
    void startGuest({ storage });
    await log.nth('connected');
    expect(new TextDecoder().decode(files.get('r..token'))).toMatch(/^[0-9a-f]{64} token-of-/);
  });

  it('asks again where the answer did not come, or the coordinator is busy', async () => {
    coordinator.answers = [(arrival) => arrival.cut(), refuse('busy'), enrols];
    void startGuest({});
    await log.nth('connected');
    expect(log.of('retry').map(({ what }) => what)).toEqual(['enrolment', 'enrolment']);
    // As the same one: the first call may have enrolled it.
    const [first, ...others] = coordinator.arrivals.map(({ body }) => body);
    expect(others).toEqual([first, first]);
  });

  it('asks as the same one where it died before the answer', async () => {
    const { files, storage } = memory();
    coordinator.answers = [() => undefined, enrols];
    const first = new AbortController();
    const left = startGuest({ name: 'anna', storage, signal: first.signal });
    await until(() => coordinator.arrivals.length === 1);
    first.abort();
    await left;
    void startGuest({ name: 'anna', storage });
    await log.nth('connected');
    expect(coordinator.arrivals[1].body).toEqual(coordinator.arrivals[0].body);
    expect(new TextDecoder().decode(files.get('r.anna.token'))).toMatch(/^[0-9a-f]{64} token-of-/);
  });

  it('is told where the run takes nobody without one', async () => {
    coordinator.answers = [refuse('forbidden')];
    await expect(startGuest({})).rejects.toMatchObject({ code: 'forbidden' });
    expect(coordinator.hellos).toEqual([]);
  });

  it('waits until it is approved, also to see what it would be asked', async () => {
    coordinator.answers = [enrols];
    let refusals = 0;
    coordinator.onGet = () => (++refusals <= 2 ? 'not_approved' : undefined);
    void startGuest({ train: nowTrain, review: () => true });
    await log.nth('connected');
    expect(log.of('retry')).toMatchObject([
      { what: 'review', error: { code: 'not_approved' } },
      { what: 'review', error: { code: 'not_approved' } },
    ]);
  });

  it('leaves while it enrols', async () => {
    const leaving = new AbortController();
    coordinator.answers = [() => undefined];
    const summary = startGuest({ signal: leaving.signal });
    await until(() => coordinator.arrivals.length === 1);
    leaving.abort();
    expect(await summary).toMatchObject({ status: 'left', runId: null });
  });

  it.each([
    [{ run: 'r' }, /^run: the token names it/],
    [{ name: 'anna' }, /^name: only for a client/],
    [{ token: undefined, run: '../r' }, /^run: "..\/r" is not the id/],
    [{ token: undefined, run: 'r', name: 'an na' }, /^join: name: use 1 to 64/],
    [{ token: undefined }, /^token: /],
  ])('or with too much of one is refused: %o', async (options, message) => {
    await expect(start(options)).rejects.toThrow(message);
    expect(coordinator.arrivals).toEqual([]);
  });
});
