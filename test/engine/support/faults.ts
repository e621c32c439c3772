/** A storage that fails, or a process that dies, at a chosen call. */
import { TributaryError } from '../../../protocol/errors.js';
import type { BlobStore, Store } from '../../../server/core/ports.js';

export interface Storage {
  readonly store: Store;
  readonly blobs: BlobStore;
}

/** `after`: the call took effect, and only its answer is lost. */
export type Moment = 'before' | 'after';

/** What is done at a call, counted from 1; nothing where it answers null. */
export type Plan = (
  call: number,
  name: string,
) => { readonly how: 'fail' | 'die'; readonly when: Moment } | null;

/** A loop that asks the storage so often without any time passing will never stop. */
const CALLS_WITHOUT_END = 100_000;

export interface Faults {
  readonly plan: Plan;
  readonly onDeath: () => void;
  /** How long a call takes: no time of the clock, but others get their turn. */
  readonly pause: (name: string) => Promise<void>;
}

export interface FaultyStorage extends Storage {
  /** Names of the calls, in order. */
  readonly calls: string[];
  /** Calls that are not answered yet. */
  readonly underWay: () => number;
}

const never = (): Promise<never> => new Promise(() => undefined);

export function unavailable(): TributaryError {
  return new TributaryError('storage_unavailable', 'the storage is away');
}

/** Once it has died, no call ever answers: the process that made it is gone. */
export function faulty({ store, blobs }: Storage, faults: Faults): FaultyStorage {
  const { plan, onDeath, pause } = faults;
  const calls: string[] = [];
  let underWay = 0;
  let dead = false;
  const isDead = (): boolean => dead;
  const die = (): Promise<never> => {
    dead = true;
    onDeath();
    return never();
  };
  const attempt = async (name: string, work: () => Promise<unknown>): Promise<unknown> => {
    if (isDead()) return never();
    calls.push(name);
    if (calls.length > CALLS_WITHOUT_END) throw new Error('the engine turns in circles');
    const fault = plan(calls.length, name);
    await pause(name);
    if (!fault) {
      const result = await work();
      return isDead() ? never() : result;
    }
    if (fault.when === 'after') await work();
    if (fault.how === 'die') return die();
    throw unavailable();
  };
  const counted = async (name: string, work: () => Promise<unknown>): Promise<unknown> => {
    underWay++;
    try {
      return await attempt(name, work);
    } finally {
      underWay--;
    }
  };
  const watched = <T extends object>(target: T, kind: string): T =>
    new Proxy(target, {
      get: (of, key) => {
        const member: unknown = Reflect.get(of, key);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]) => {
          const result = await counted(`${kind}.${String(key)}`, async () =>
            (member as (...given: unknown[]) => Promise<unknown>).apply(of, args),
          );
          // Blobs are handles: what is done with them later is done to the storage too.
          const isHandle = kind === 'blobs' && typeof result === 'object' && result !== null;
          return isHandle ? watched(result, 'blob') : result;
        };
      },
    });
  return {
    store: watched(store, 'store'),
    blobs: watched(blobs, 'blobs'),
    calls,
    underWay: () => (dead ? 0 : underWay),
  };
}

export const faultless: Plan = () => null;

/** The n-th call fails or dies; the others are well. */
export function at(call: number, how: 'fail' | 'die', when: Moment): Plan {
  return (n) => (n === call ? { how, when } : null);
}
