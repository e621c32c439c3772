/** What the routes work with. The composition root fills it in. */
import type { Logger } from 'pino';
import type { TributaryError } from '../../../protocol/errors.js';
import type { ClientInfo, LedgerKey } from '../../../protocol/http.js';
import type { BlobStore, Store } from '../../core/ports.js';
import type { Client } from '../../core/records.js';
import type { ClientId } from '../../core/rules/rule.js';
import type { Engine } from '../../engine/engine.js';
import type { Operators } from '../../engine/operators.js';
import type { Leadership } from '../leadership.js';
import type { Metrics } from '../metrics.js';
import type { OriginPolicy } from '../origins.js';
import type { StorageRoom } from '../storage-room.js';
import type { Strangers } from '../strangers.js';
import type { Auth } from './auth.js';
import type { BodyLimits } from './body.js';

/** What a client that is connected said of itself and of its open work. */
export type ClientStatus = Omit<ClientInfo, 'id' | 'role' | 'state' | 'present'>;

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
  /** And all clients together: each upload has a file open. */
  readonly uploadsInAll: number;
}

export interface HttpParts {
  readonly engine: Engine;
  readonly store: Store;
  readonly blobs: BlobStore;
  readonly auth: Auth;
  readonly operators: Operators;
  /** Counts calls that need no token. */
  readonly strangers: Pick<Strangers, 'call'>;
  /** What the storage refuses at the moment. */
  readonly room: Pick<StorageRoom, 'complaint'>;
  /** Who leads, for people. */
  readonly leadership: Pick<Leadership, 'leader'>;
  readonly presence: PresenceView;
  readonly questions: QuestionDesk;
  readonly origins: OriginPolicy;
  /** Number of proxies in front, or their addresses: Express's `trust proxy`. */
  readonly trustProxy: number | readonly string[];
  readonly limits: HttpLimits;
  /** Public half of the key that signs the ledgers; null where they are not signed. */
  readonly ledgerKey: LedgerKey | null;
  readonly metrics: Metrics;
  /** Who reads them. */
  readonly metricsFor: 'operators' | 'open';
  readonly log: Logger;
  readonly version: string;
  /** True once the coordinator has begun to stop. */
  readonly draining: () => boolean;
  /** Why this coordinator stands by; null while it leads. */
  readonly refusal: () => TributaryError | null;
  /** Folder of the browser SDK, served at /sdk; null where it was not built. */
  readonly sdkDir: string | null;
  /** Folder of the operators' pages, served at /. */
  readonly pagesDir: string | null;
}
