/**
 * Just enough of a coordinator to see how a client behaves: it speaks the protocol on a loopback
 * port, and a test decides what it answers. No rounds, no store: those are tested end to end.
 */
import { createHash } from 'node:crypto';
import type { AddressInfo, Socket as TcpSocket } from 'node:net';
import { createServer } from 'node:http';
import type { Request, Response } from 'express';
import express from 'express';
import type { Socket } from 'socket.io';
import { Server } from 'socket.io';
import { TributaryError } from '../../../protocol/errors.js';
import type { ErrorCode } from '../../../protocol/errors.js';
import type { GivenWeight, Identity, Plan } from '../../../protocol/http.js';
import { REQUEST_ID_HEADER, SHA256_HEADER } from '../../../protocol/http.js';
import type {
  Ack,
  Assignment,
  ClientToServer,
  Decline,
  Hello,
  Progress,
  ServerToClient,
  Welcome,
} from '../../../protocol/messages.js';
import type { Task } from '../../../protocol/model.js';
import { task as taskSchema, trainingConfig } from '../../../protocol/model.js';
import { encodeSafetensors } from '../../../protocol/safetensors.js';
import type { Receipt } from '../../../protocol/update.js';

export const TOKEN = 'token-of-anna';

/** Two shared tensors, one buffer, one that never travels. */
export const task = taskSchema.parse({
  name: 'toy',
  model: {
    format: 'opaque',
    body: null,
    tensors: [
      { name: 'dense/kernel', shape: [2, 2] },
      { name: 'dense/bias', shape: [2] },
      { name: 'norm/mean', shape: [2], role: 'buffer' },
      { name: 'base/kernel', shape: [1], role: 'frozen' },
    ],
  },
  data: { features: { shape: [2] }, labels: { kind: 'class', classes: 2 } },
});

/** What the run of the fake asks of its one client. */
export const plan: Plan = {
  runId: 'r',
  name: 'toy-run',
  role: 'target',
  rule: { name: 'fedavg', options: {}, module: null },
  rounds: 9,
  join: 'token',
  keepUpdates: false,
  training: trainingConfig.parse({ learningRate: 0.25 }),
  vectors: [],
  metrics: [],
  answers: false,
};
const me: Identity = { runId: 'r', clientId: 'anna', role: 'target' };
const nothing: Ack<null> = { ok: true, value: null };

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A request with a body, as it arrived. */
export interface Arrival {
  readonly path: string;
  readonly body: Uint8Array;
  readonly sha256: string | undefined;
  readonly authorization: string | undefined;
  readonly requestId: string | undefined;
  readonly response: Response;
  /** Cuts the connection without an answer. */
  readonly cut: () => void;
}
type Answer = (arrival: Arrival) => void;
type CoordinatorSocket = Socket<ClientToServer, ServerToClient>;

export class FakeCoordinator {
  /** Listed in every welcome. */
  open: Assignment[] = [];
  status: Welcome['status'] = 'running';
  /** As the welcome names the run. */
  runId = 'r';
  readonly hellos: Hello[] = [];
  readonly progresses: Progress[] = [];
  readonly declines: Decline[] = [];
  readonly heartbeats: string[] = [];
  readonly arrivals: Arrival[] = [];
  readonly gets: string[] = [];
  /** What the requests of `gets` were called. */
  readonly getIds: string[] = [];
  readonly files = new Map<string, Uint8Array>();
  /** Called at each hello, before it is answered: with a refusal, not at all, or a welcome. */
  onHello: (socket: CoordinatorSocket) => ErrorCode | 'silence' | undefined = () => undefined;
  /** Called before a token is looked at. */
  onConnect: () => ErrorCode | undefined = () => undefined;
  /** Called at each request without a body. */
  onGet: () => ErrorCode | undefined = () => undefined;
  /** Requests without a body are not answered. */
  silent = false;
  /** Called at each heartbeat. */
  onHeartbeat: () => ErrorCode | undefined = () => undefined;
  /** Said with every refusal of a connection. */
  retryAfterMs: number | undefined;
  /** The only token that is taken. */
  token = TOKEN;
  task: Task = task;
  plan: Plan = plan;
  /** Cuts the connection of the n-th upload when so many bytes of it have come. */
  readonly cutAfter: number[] = [];
  /** Answers the n-th upload that came whole; the last goes on for all that follow. */
  answers: Answer[] = [accept];
  onDecline: () => void = () => undefined;

  readonly #app = express();
  readonly #http = createServer(this.#app);
  readonly #io: Server<ClientToServer, ServerToClient>;
  readonly #tcp = new Set<TcpSocket>();

  private constructor(private readonly prefix: string) {
    this.#io = new Server(this.#http, { path: `${prefix}/socket.io` });
    this.#http.on('connection', (socket) => {
      this.#tcp.add(socket);
      socket.on('close', () => this.#tcp.delete(socket));
    });
    this.#io.use((socket, next) => {
      const { token } = socket.handshake.auth as { token?: unknown };
      const code = this.onConnect() ?? (token === this.token ? undefined : 'unauthorized');
      if (!code) {
        next();
        return;
      }
      const { retryAfterMs } = this;
      const error = new TributaryError(code, `refused: ${code}`, undefined, { retryAfterMs });
      next(Object.assign(new Error(error.message), { data: error.toBody() }));
    });
    this.#io.on('connection', (socket) => this.#serve(socket));
    this.#route();
  }

  static async start(prefix = ''): Promise<FakeCoordinator> {
    const coordinator = new FakeCoordinator(prefix);
    await new Promise<void>((resolve) => coordinator.#http.listen(0, '127.0.0.1', resolve));
    return coordinator;
  }

  get url(): string {
    const { port } = this.#http.address() as AddressInfo;
    return `http://127.0.0.1:${port}${this.prefix}`;
  }

  get connections(): number {
    return this.#io.sockets.sockets.size;
  }

  /** A checkpoint that can be fetched, and an assignment to work on it. */
  assignment(id: string, changes: Partial<Assignment> = {}): Assignment {
    const file = checkpointFile();
    const path = '/v1/runs/r/checkpoints/3';
    if (!this.files.has(path)) this.files.set(path, file);
    return {
      id,
      runId: 'r',
      round: 4,
      attempt: 1,
      kind: 'train',
      stage: 'collect',
      baseVersion: 3,
      checkpoint: { path, sha256: sha256(file), bytes: file.byteLength },
      uploadPath: `/v1/assignments/${id}/update`,
      training: trainingConfig.parse({ learningRate: 0.25 }),
      seed: 77,
      vectors: [],
      remainingMs: 60_000,
      leaseMs: 30_000,
      ...changes,
    };
  }

  emit<E extends keyof ServerToClient>(event: E, ...message: Parameters<ServerToClient[E]>): void {
    this.#io.emit(event, ...message);
  }

  /** What it answers when a client asks what became of an assignment. */
  tellsWeight(id: string, given: GivenWeight): void {
    this.files.set(`/v1/assignments/${id}/weight`, Buffer.from(JSON.stringify(given)));
  }

  /** Something that no schema knows. */
  emitRaw(event: keyof ServerToClient, message: unknown): void {
    (this.#io as unknown as { emit(event: string, message: unknown): void }).emit(event, message);
  }

  /** Throws every client out, as a restart does. */
  cutAll(): void {
    for (const socket of this.#tcp) socket.destroy();
  }

  /** Says why, and ends every connection. */
  sayGoodbye(code: ErrorCode): void {
    this.#io.emit('goodbye', new TributaryError(code, `goodbye: ${code}`).toBody());
    this.#io.disconnectSockets(true);
  }

  async close(): Promise<void> {
    const closed = this.#io.close();
    this.cutAll();
    await closed;
  }

  #serve(socket: CoordinatorSocket): void {
    socket.on('hello', (message, ack) => {
      this.hellos.push(message);
      const code = this.onHello(socket);
      if (code === 'silence') return;
      ack(code ? { ok: false, error: new TributaryError(code, code).toBody() } : this.#welcome());
    });
    socket.on('progress', (message, ack) => {
      this.progresses.push(message);
      ack({ ok: true, value: null });
    });
    socket.on('heartbeat', ({ assignmentId }, ack) => {
      this.heartbeats.push(assignmentId);
      const code = this.onHeartbeat();
      ack(code ? { ok: false, error: new TributaryError(code, code).toBody() } : nothing);
    });
    socket.on('decline', (message, ack) => {
      this.declines.push(message);
      this.onDecline();
      ack({ ok: true, value: null });
    });
  }

  #welcome(): Ack<Welcome> {
    const value: Welcome = {
      runId: this.runId,
      clientId: 'anna',
      role: 'target',
      status: this.status,
      version: 3,
      assignments: [...this.open],
    };
    return { ok: true, value };
  }

  #route(): void {
    const router = express.Router();
    router.get('/{*path}', (request, response) => {
      this.gets.push(request.path);
      this.getIds.push(request.header(REQUEST_ID_HEADER) ?? '');
      if (this.silent) return;
      const file = this.files.get(request.path);
      const code = this.onGet();
      if (code) {
        const error = new TributaryError(code, `refused: ${code}`);
        response.status(error.status).json({ error: error.toBody() });
      } else if (request.headers.authorization !== `Bearer ${this.token}`) response.sendStatus(401);
      else if (request.path === '/v1/runs/r/task') response.json(this.task);
      else if (request.path === '/v1/runs/r/plan') response.json(this.plan);
      else if (request.path === '/v1/me') response.json(me);
      else if (file) response.end(file);
      else response.sendStatus(404);
    });
    router.use((request: Request, response: Response) => void this.#receive(request, response));
    this.#app.use(this.prefix === '' ? '/' : this.prefix, router);
  }

  async #receive(request: Request, response: Response): Promise<void> {
    const chunks: Uint8Array[] = [];
    let left = this.cutAfter.shift() ?? Infinity;
    for await (const chunk of request as AsyncIterable<Uint8Array>) {
      chunks.push(chunk);
      left -= chunk.byteLength;
      if (left <= 0) {
        request.socket.destroy();
        return;
      }
    }
    const answer = this.answers[Math.min(this.arrivals.length, this.answers.length - 1)];
    const arrival: Arrival = {
      path: request.path,
      body: new Uint8Array(Buffer.concat(chunks)),
      sha256: request.header(SHA256_HEADER),
      authorization: request.headers.authorization,
      requestId: request.header(REQUEST_ID_HEADER),
      response,
      cut: () => request.socket.destroy(),
    };
    this.arrivals.push(arrival);
    answer(arrival);
  }
}

export function checkpointFile(): Uint8Array<ArrayBuffer> {
  return encodeSafetensors({
    'dense/kernel': { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    'dense/bias': { shape: [2], data: Float32Array.of(-1, 0.5) },
    'norm/mean': { shape: [2], data: Float32Array.of(10, 20) },
    'base/kernel': { shape: [1], data: Float32Array.of(7) },
    'rule/control': { shape: [1], data: Float32Array.of(9) },
  });
}

export function receiptFor(arrival: Arrival, changes: Partial<Receipt> = {}): Receipt {
  return {
    assignmentId: arrival.path.split('/')[3],
    runId: 'r',
    round: 4,
    clientId: 'anna',
    status: 'accepted',
    sha256: sha256(arrival.body),
    receivedAt: '2026-01-01T00:00:00.000Z',
    duplicate: false,
    ...changes,
  };
}

export function accept(arrival: Arrival): void {
  arrival.response.json({ receipt: receiptFor(arrival) });
}

/** As one that had it before. */
export function duplicate(arrival: Arrival): void {
  arrival.response.json({ receipt: receiptFor(arrival, { duplicate: true }) });
}

/** A failure in the coordinator's own words, with a receipt where one is given. */
export function refuse(code: ErrorCode, status?: Receipt['status'], retryAfterMs?: number): Answer {
  return (arrival) => {
    const error = new TributaryError(code, `refused: ${code}`, undefined, { retryAfterMs });
    const receipt = status && receiptFor(arrival, { status, error: error.toBody() });
    arrival.response.status(error.status).json({ error: error.toBody(), receipt });
  };
}
