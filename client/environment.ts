/** PEM texts for TLS: what to trust, and what to show of oneself. */
export interface Certificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What the SDK takes from its host. Tests hand in their own, so that no test waits. */
export interface Environment {
  readonly fetch: (url: URL, init: RequestInit) => Promise<Response>;
  /** Uniform in [0, 1). Spreads clients out in time and nothing else, so `Math.random` will do. */
  readonly random: () => number;
  /** Calls back once, after so many milliseconds; the returned function cancels. */
  readonly after: (ms: number, callback: () => void) => () => void;
  /**
   * For connections in Node, beside those that `fetch` itself works with. Browsers have their own, and
   * ask the user.
   */
  readonly certificates?: Certificates;
}

/** The longest time that setTimeout can hold; beyond it the callback would run at once. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/** Node or a browser. Looks `fetch` up at each call, so that a page may replace it. */
export const hostEnvironment: Environment = {
  fetch: (url, init) => globalThis.fetch(url, init),
  random: () => Math.random(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_TIMEOUT_MS));
    return () => clearTimeout(timer);
  },
};
