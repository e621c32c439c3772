/**
 * Some hundred clients in one process: the real SDK, each with its own connection. Reads one line of
 * JSON from standard input; writes on standard output, once a second, what has happened since.
 *
 * A client that drops out of a round, as the seed decides, does it in one of two ways: it leaves and
 * comes back later, as a closed tab; or it falls asleep, as a laptop does whose lid is shut: its
 * connection stays, but no timer of it runs and nothing is answered until its assignment is closed.
 */
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { orAborted } from '../../client/abort.js';
import type { Environment } from '../../client/environment.js';
import { hostEnvironment } from '../../client/environment.js';
import type { ClientEvent } from '../../client/events.js';
import { join } from '../../client/join.js';
import type { TrainFunction } from '../../client/types.js';
import { randomStream } from '../../server/core/random.js';

export const orders = z.object({
  url: z.string(),
  tokens: z.record(z.string(), z.string()),
  seed: z.int(),
  /** Share of assignments that their client drops out of. */
  dropOut: z.number(),
});

/** How long a client that left stays away. */
const AWAY_MS = [1_000, 4_000] as const;

const news = { connected: [] as number[], accepted: 0, late: 0, rejected: 0, left: 0, slept: 0 };

function tell(): void {
  process.stdout.write(`${JSON.stringify(news)}\n`);
  Object.assign(news, { connected: [], accepted: 0, late: 0, rejected: 0, left: 0, slept: 0 });
}

/** Timers that fire while their client sleeps run when it wakes. */
class Lid {
  #waking: (() => void)[] | null = null;

  readonly environment: Environment = {
    ...hostEnvironment,
    after: (ms, callback) =>
      hostEnvironment.after(ms, () => {
        if (this.#waking) this.#waking.push(callback);
        else callback();
      }),
  };

  shut(): void {
    this.#waking ??= [];
  }

  open(): void {
    const waking = this.#waking ?? [];
    this.#waking = null;
    for (const callback of waking) callback();
  }
}

/** The last so many things that happened to a client, for the case that it is refused for good. */
const TRAIL = 12;

class Client {
  readonly #lid = new Lid();
  readonly #trail: string[] = [];
  #leaving = new AbortController();

  constructor(
    private readonly name: string,
    private readonly token: string,
    private readonly run: z.infer<typeof orders>,
  ) {}

  /** Until the run is over, however often it leaves meanwhile. */
  async takePart(): Promise<void> {
    try {
      await this.#joinAgainAndAgain();
    } catch (error) {
      process.stderr.write(`${this.name}:\n  ${this.#trail.join('\n  ')}\n`);
      throw error;
    }
  }

  async #joinAgainAndAgain(): Promise<void> {
    for (;;) {
      this.#leaving = new AbortController();
      const { status } = await join(
        {
          url: this.run.url,
          token: this.token,
          train: this.#train,
          signal: this.#leaving.signal,
          onEvent: (event) => {
            this.#note(event);
            if (event.type === 'connected') news.connected.push(Date.now());
            if (event.type === 'receipt') news[event.receipt.status] += 1;
          },
        },
        this.#lid.environment,
      );
      if (status !== 'left') return;
      await sleep(AWAY_MS[0] + Math.random() * (AWAY_MS[1] - AWAY_MS[0]));
    }
  }

  readonly #train: TrainFunction = async ({ model, round, signal, seed }) => {
    const random = randomStream('drop out', this.run.seed, this.name, round, seed);
    if (random.uniform() < this.run.dropOut) {
      const leaves = random.uniform() < 0.5;
      if (leaves) this.#leave();
      else await this.#sleep(signal);
    }
    signal.throwIfAborted();
    const params = Object.fromEntries(
      Object.entries(model).map(([name, values]) => [name, values.map((w) => w * 0.999)]),
    );
    return { params, numExamples: 1 + random.below(100), numSteps: 1, metrics: { loss: 1 } };
  };

  #note(event: ClientEvent): void {
    const why = 'error' in event ? `: ${event.error.message}` : '';
    this.#trail.push(`${new Date().toISOString()} ${event.type}${why}`);
    if (this.#trail.length > TRAIL) this.#trail.shift();
  }

  #leave(): void {
    this.#trail.push(`${new Date().toISOString()} leaves`);
    news.left += 1;
    this.#leaving.abort();
  }

  async #sleep(signal: AbortSignal): Promise<void> {
    news.slept += 1;
    this.#lid.shut();
    try {
      await orAborted(new Promise<never>(() => undefined), signal);
    } finally {
      this.#lid.open();
    }
  }
}

const input = createInterface(process.stdin);
const [line] = (await once(input, 'line')) as [string];
input.close();
const run = orders.parse(JSON.parse(line));
const telling = setInterval(tell, 1000);
const all = Object.entries(run.tokens).map(([name, token]) =>
  new Client(name, token, run).takePart(),
);
await Promise.all(all);
clearInterval(telling);
tell();
// Sockets that are being closed, and connections kept alive for uploads, end nobody's waiting.
process.exit(0);
