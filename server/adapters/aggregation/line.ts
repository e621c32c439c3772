/** Questions and answers between two threads over one port, both ways. */
import type { MessagePort, Transferable, Worker } from 'node:worker_threads';
import type { Failure } from './failure.js';
import { fromFailure, toFailure } from './failure.js';

/** What one end does for the other. Arguments and answers are plain data. */
export type Services<T> = { readonly [Name in keyof T]: (argument: never) => Promise<unknown> };

interface Ask {
  readonly ask: number;
  readonly service: string;
  readonly argument: unknown;
}
type Answer =
  | { readonly answer: number; readonly value: unknown }
  | { readonly answer: number; readonly failure: Failure };

interface Waiting {
  /** The other end is of this very version: what it answers is what its type says. */
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * One end of the line. Float32Arrays that are members of an argument or of an answer are moved to
 * the other thread, not copied: give ones that nobody else looks at.
 */
export class Line<Remote extends Services<Remote>, Local extends Services<Local>> {
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #broken: Error | null = null;

  constructor(
    private readonly port: MessagePort | Worker,
    private readonly services: Local,
  ) {
    port.on('message', (message: Ask | Answer) => {
      if ('ask' in message) void this.#serve(message);
      else this.#take(message);
    });
  }

  /** @throws what the other end threw: a TributaryError as one with the same code and details. */
  ask<Name extends keyof Remote & string>(
    service: Name,
    argument: Parameters<Remote[Name]>[0],
  ): Promise<Awaited<ReturnType<Remote[Name]>>> {
    return new Promise((resolve, reject) => {
      if (this.#broken) throw this.#broken;
      const ask = this.#asked++;
      this.#post({ ask, service, argument }, argument);
      this.#waiting.set(ask, { resolve, reject });
    });
  }

  /** The other end is gone: what was asked fails, and whatever will be. */
  break(error: Error): void {
    this.#broken ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#broken);
    this.#waiting.clear();
  }

  async #serve({ ask, service, argument }: Ask): Promise<void> {
    try {
      const value = await this.services[service as keyof Local](argument as never);
      this.#post({ answer: ask, value }, value);
    } catch (error) {
      this.#post({ answer: ask, failure: toFailure(error) }, null);
    }
  }

  #take(message: Answer): void {
    const waiting = this.#waiting.get(message.answer);
    this.#waiting.delete(message.answer);
    if ('failure' in message) waiting?.reject(fromFailure(message.failure));
    else waiting?.resolve(message.value as never);
  }

  #post(message: Ask | Answer, content: unknown): void {
    this.port.postMessage(message, buffersOf(content));
  }
}

function buffersOf(content: unknown): Transferable[] {
  if (typeof content !== 'object' || content === null) return [];
  const members: unknown[] = Object.values(content);
  return members
    .filter((member) => member instanceof Float32Array)
    .map(({ buffer }) => buffer)
    .filter((buffer) => buffer instanceof ArrayBuffer);
}
