import type { ClientEvent } from '../../../client/events.js';

type EventOf<T extends ClientEvent['type']> = Extract<ClientEvent, { type: T }>;

/** Remembers events, and resolves when one has come: tests wait for what happens, not for time. */
export class EventLog {
  readonly events: ClientEvent[] = [];
  readonly #waiting = new Set<() => void>();

  readonly record = (event: ClientEvent): void => {
    this.events.push(event);
    for (const check of this.#waiting) check();
  };

  of<T extends ClientEvent['type']>(type: T): EventOf<T>[] {
    return this.events.filter((event): event is EventOf<T> => event.type === type);
  }

  /** The n-th event of the type, counted from 1, whether it has come or will come. */
  nth<T extends ClientEvent['type']>(type: T, n = 1): Promise<EventOf<T>> {
    return new Promise((resolve) => {
      const check = () => {
        const found = this.of(type);
        if (found.length < n) return;
        this.#waiting.delete(check);
        resolve(found[n - 1]);
      };
      this.#waiting.add(check);
      check();
    });
  }
}
