/** What the routes work with. The composition root fills it in. */
import type { Logger } from 'pino';
import type { ClientInfo } from '../../../protocol/http.js';
import type { BlobStore, Client, Store } from '../../core/ports.js';
import type { ClientId } from '../../core/rules/rule.js';
import type { Engine } from '../../engine/engine.js';
import type { OriginPolicy } from '../origins.js';
import type { Auth } from './auth.js';
import type { BodyLimits } from './body.js';

/** What a client that is connected said of itself and of its open work. */
export type ClientStatus = Omit<ClientInfo, 'id' | 'role' | 'present'>;

/** Who is connected, and how far they are. */
export interface PresenceView {
  /** null where the client is not there. */
  readonly status: (runId: string, clientId: ClientId) => ClientStatus | null;
}

/** Questions of oracles that are put to clients. Every method throws `not_found` for strangers. */
export interface QuestionDesk {
  /** The parameters that a question is about, as safetensors. */
  params(client: Client, id: string): Uint8Array;
  maxAnswerBytes(client: Client, id: string): number;
  /** Takes an answer; false where it came late or twice. @throws TributaryError about its content. */
  answer(client: Client, id: string, file: Uint8Array): boolean;
}

export interface HttpLimits {
  readonly body: BodyLimits;
  /** Greatest length of a blob that an operator uploads. */
  readonly maxBlobBytes: number;
  /** Uploads that one client may have under way at once: a retry may overlap what it replaces. */
  readonly uploadsAtOnce: number;
}

export interface HttpParts {
  readonly engine: Engine;
  readonly store: Store;
  readonly blobs: BlobStore;
  readonly auth: Auth;
  readonly presence: PresenceView;
  readonly questions: QuestionDesk;
  readonly origins: OriginPolicy;
  /** Number of proxies in front, or their addresses: Express's `trust proxy`. */
  readonly trustProxy: number | readonly string[];
  readonly limits: HttpLimits;
  readonly log: Logger;
  readonly version: string;
  /** True once the coordinator has begun to stop. */
  readonly draining: () => boolean;
  /** Folder of the browser SDK, served at /sdk; null where it was not built. */
  readonly sdkDir: string | null;
  /** Folder of the operators' pages, served at /. */
  readonly pagesDir: string | null;
}
