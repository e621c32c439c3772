/**
 * Requests to the coordinator: authorised, watched for stalls, with failures as errors that say
 * whether to repeat them.
 */
import type { z } from 'zod';
import type { ErrorBody, ErrorCode } from '../protocol/errors.js';
import { parse, TributaryError } from '../protocol/errors.js';
import { failure, REQUEST_ID_HEADER, SHA256_HEADER } from '../protocol/http.js';
import type { Receipt } from '../protocol/update.js';
import { resolvePath } from './address.js';
import type { Coordinators } from './coordinators.js';
import type { Digested } from './digest.js';
import type { Environment } from './environment.js';
import { RequestIds } from './request-ids.js';
import { Vigil } from './vigil.js';
import { Watchdog } from './watchdog.js';

/** A network that moves nothing for so long is taken for lost. Milliseconds. */
const STALL_MS = 30_000;
/**
 * `fetch` does not say how far an upload has come, so it gets the time that it needs at this rate.
 * (Node's `fetch` gives up by itself after five minutes.)
 */
const SLOWEST_BYTES_PER_MS = 16;

/** No answer came: the network failed, or the coordinator is away. Always worth repeating. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

/** A negative answer, with the receipt where the coordinator gave one. */
export class HttpFailure extends TributaryError {
  constructor(
    body: Pick<ErrorBody, 'code' | 'message' | 'details'>,
    readonly receipt: Receipt | undefined,
    /** As long as the coordinator wants to be left alone; 0 where it did not say. */
    override readonly retryAfterMs: number,
  ) {
    super(body.code, body.message, body.details, { retryAfterMs });
  }
}

/** Bytes of tensors and reports that this client moved, repeats included. */
export interface Traffic {
  bytesUp: number;
  bytesDown: number;
}

interface ReadOptions {
  /** Reading ends soon after so many bytes, so that a wrong file cannot fill the memory. */
  readonly maxBytes?: number;
  /** Past the browser's cache, which may hold the damaged bytes that were read before. */
  readonly fresh?: boolean;
}

type Init = Omit<RequestInit, 'headers'> & { readonly headers?: Readonly<Record<string, string>> };

/** One attempt a call; who calls decides about the next. */
export class CoordinatorHttp {
  readonly traffic: Traffic = { bytesUp: 0, bytesDown: 0 };
  readonly #ids: RequestIds;

  constructor(
    private readonly coordinators: Coordinators,
    /** Null until the client has enrolled itself. */
    public token: string | null,
    private readonly environment: Environment,
  ) {
    this.#ids = new RequestIds(environment.random);
  }

  /** @throws TributaryError; {@link ConnectionLost}; the signal's reason. The same below. */
  getJson<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    return this.#exchange(path, { method: 'GET' }, STALL_MS, signal, async (response) =>
      parse(schema, await response.json(), path),
    );
  }

  getBytes(
    path: string,
    signal: AbortSignal,
    { maxBytes = Infinity, fresh = false }: ReadOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const init: Init = { method: 'GET', ...(fresh ? { cache: 'reload' } : {}) };
    return this.#exchange(path, init, STALL_MS, signal, (response, moved) =>
      readBody(response, maxBytes, (bytes) => {
        this.traffic.bytesDown += bytes;
        moved();
      }),
    );
  }

  /** PUTs bytes with their sha256. */
  putBytes<T>(
    path: string,
    { bytes: body, sha256 }: Digested,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const headers = { 'content-type': 'application/octet-stream', [SHA256_HEADER]: sha256 };
    return this.#send(path, { method: 'PUT', body, headers }, body.byteLength, schema, signal);
  }

  postJson<T>(path: string, value: unknown, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const body = new TextEncoder().encode(JSON.stringify(value));
    const headers = { 'content-type': 'application/json' };
    return this.#send(path, { method: 'POST', body, headers }, body.byteLength, schema, signal);
  }

  #send<T>(
    path: string,
    init: Init,
    bytes: number,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const patienceMs = STALL_MS + bytes / SLOWEST_BYTES_PER_MS;
    this.traffic.bytesUp += bytes;
    return this.#exchange(path, init, patienceMs, signal, async (response) =>
      parse(schema, await response.json(), path),
    );
  }

  async #exchange<T>(
    path: string,
    init: Init,
    patienceMs: number,
    signal: AbortSignal,
    read: (response: Response, moved: () => void) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const address = this.coordinators.current;
    const url = resolvePath(address, path);
    const headers = { ...init.headers, ...this.#ownHeaders(path) };
    const watchdog = new Watchdog(this.environment, signal);
    watchdog.expect(patienceMs);
    const vigil = new Vigil(address, this.coordinators.others(address), this.environment, () =>
      watchdog.giveUp('the coordinator gives no sign of life, and another one does'),
    );
    const moved = (): void => {
      watchdog.expect(STALL_MS);
      vigil.moved();
    };
    try {
      const request = { ...init, headers, signal: watchdog.signal };
      const response = await this.environment.fetch(url, request);
      moved();
      if (!response.ok) throw await this.#failureOf(response, `${init.method ?? ''} ${path}`);
      return await read(response, moved);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof TributaryError)) {
        this.coordinators.leave(address);
        throw new ConnectionLost(`${path}: ${causeOf(error)}`, { cause: error });
      }
      if (error.status >= 500 && error.retryable) this.coordinators.leave(address);
      throw error;
    } finally {
      vigil.stop();
      watchdog.stop();
    }
  }

  async #failureOf(response: Response, what: string): Promise<HttpFailure> {
    const { error, receipt } = await failureOf(response, what);
    const askedMs = error.retryAfterMs ?? retryAfter(response.headers.get('retry-after'));
    return new HttpFailure(error, receipt, this.coordinators.granted(askedMs));
  }

  #ownHeaders(path: string): Record<string, string> {
    const id = { [REQUEST_ID_HEADER]: this.#ids.next(path) };
    return this.token === null ? id : { ...id, authorization: `Bearer ${this.token}` };
  }
}

async function readBody(
  response: Response,
  maxBytes: number,
  moved: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let read = await reader?.read(); read?.value; read = await reader?.read()) {
    chunks.push(read.value);
    size += read.value.byteLength;
    moved(read.value.byteLength);
    if (size > maxBytes) {
      await reader?.cancel();
      break;
    }
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

async function failureOf(response: Response, what: string): Promise<z.infer<typeof failure>> {
  const told = failure.safeParse(parseJson(await response.text()));
  if (told.success) return told.data;
  // Not the coordinator's own words: a proxy between, or a version that knows other codes.
  const code = codeOfStatus(response.status);
  const message = `${what} was answered with HTTP ${response.status}`;
  return { error: new TributaryError(code, message).toBody() };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function codeOfStatus(status: number): ErrorCode {
  if (status >= 500) return 'internal';
  const codes: Partial<Record<number, ErrorCode>> = {
    401: 'unauthorized',
    403: 'forbidden',
    404: 'not_found',
    408: 'too_slow',
    413: 'too_large',
    426: 'protocol_version',
    429: 'rate_limited',
  };
  return codes[status] ?? 'bad_request';
}

/** Milliseconds of a Retry-After in seconds; its other form, a date, needs clocks that agree. */
function retryAfter(header: string | null): number {
  const seconds = Number(header ?? 0);
  return seconds > 0 && seconds < 3600 ? seconds * 1000 : 0;
}

/** Node's `fetch` says "fetch failed" and hides the reason in the cause. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
