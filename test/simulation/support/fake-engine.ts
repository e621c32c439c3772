/** An engine that only writes down what it is asked, for tests of the loopback and its clients. */
import type { Assignment } from '../../../protocol/messages.js';
import { trainingConfig } from '../../../protocol/model.js';
import type { EvaluationReport, Receipt } from '../../../protocol/update.js';
import type { Client } from '../../../server/core/records.js';
import type { Engine } from '../../../server/engine/engine.js';

export interface FakeEngine extends Engine {
  /** `joined a`, `left a`, `declined a1: why`, in the order of the calls. */
  readonly calls: string[];
  /** What was handed in, in the order of arrival. */
  readonly uploads: { readonly client: string; readonly id: string; readonly bytes: Uint8Array }[];
  readonly reports: { readonly id: string; readonly report: EvaluationReport }[];
  /** Told to a client when it connects. */
  open: Assignment[];
  maxBytes: number;
}

export function fakeEngine(): FakeEngine {
  const unused = (): never => {
    throw new Error('not asked of this engine');
  };
  const engine: FakeEngine = {
    calls: [],
    uploads: [],
    reports: [],
    open: [],
    maxBytes: 1e6,
    start: unused,
    rest: unused,
    look: unused,
    close: unused,
    createRun: unused,
    pauseRun: unused,
    resumeRun: unused,
    stopRun: unused,
    heard: unused,
    whileUploading: unused,
    enrol: unused,
    enrolItself: unused,
    approve: unused,
    revoke: unused,
    rotate: unused,
    authenticate: unused,
    plan: unused,
    now: unused,
    joined: ({ id }) => void engine.calls.push(`joined ${id}`),
    left: ({ id }) => void engine.calls.push(`left ${id}`),
    welcome: () => Promise.resolve({ status: 'running', version: 0, assignments: engine.open }),
    decline(_, id, reason) {
      engine.calls.push(`declined ${id}: ${reason}`);
      return Promise.resolve();
    },
    maxUploadBytes: () => Promise.resolve(engine.maxBytes),
    weightGiven: () => Promise.resolve({ weight: null, sha256: null }),
    async submit(client, id, staged) {
      const bytes = await staged.read(0, staged.bytes);
      await staged.commit();
      engine.uploads.push({ client: client.id, id, bytes });
      return receiptOf(client, id, staged.sha256);
    },
    report(_, id, report) {
      engine.reports.push({ id, report });
      return Promise.resolve(true);
    },
  };
  return engine;
}

function receiptOf(client: Client, assignmentId: string, sha256: string): Receipt {
  return {
    assignmentId,
    runId: client.runId,
    round: 1,
    clientId: client.id,
    status: 'accepted',
    sha256,
    receivedAt: '2024-01-01T00:00:00.000Z',
    duplicate: false,
  };
}

export function assignmentOf(changes: Partial<Assignment> & { id: string }): Assignment {
  return {
    runId: 'run',
    round: 1,
    attempt: 1,
    kind: 'train',
    stage: 'collect',
    baseVersion: 0,
    checkpoint: { path: '', sha256: '0'.repeat(64), bytes: 0 },
    uploadPath: '',
    training: trainingConfig.parse({}),
    seed: 1,
    vectors: [],
    remainingMs: 1000,
    ...changes,
  };
}
