/** Clients that keep something from round to round, and what the coordinator says of their uploads. */
import type { ClientStorage, TrainFunction, TrainRequest } from '../../../client/types.js';
import type { GivenWeight } from '../../../protocol/http.js';
import type { Assignment } from '../../../protocol/messages.js';
import { sha256 } from './fake-coordinator.js';
import { coordinator, log, start, trained } from './harness.js';

/** Keeps the number of the training, counted over what was kept before. */
export function counting(): {
  train: TrainFunction;
  requests: TrainRequest[];
  found: (number | null)[];
} {
  const requests: TrainRequest[] = [];
  const found: (number | null)[] = [];
  const train: TrainFunction = (request) => {
    requests.push(request);
    const before = request.kept?.count;
    found.push(before ? before['dense/bias'][0] : null);
    const count = { 'dense/bias': Float32Array.of((before?.['dense/bias'][0] ?? 0) + 1, -1) };
    // Training in place must not reach what is kept.
    before?.['dense/bias'].fill(NaN);
    return Promise.resolve({ ...trained(request), keep: { count } });
  };
  return { train, requests, found };
}

export function weighed(assignmentId: string): void {
  coordinator.emit('weighed', { assignmentId, round: 4, version: 4, weight: 0.5 });
}

/** What the coordinator says where it is asked: of the n-th upload that arrived. */
export function tells(assignmentId: string, weight: number | null, upload = 0): void {
  const path = `/v1/assignments/${assignmentId}/weight`;
  const given: GivenWeight = { weight, sha256: sha256(coordinator.arrivals[upload].body) };
  coordinator.files.set(path, Buffer.from(JSON.stringify(given)));
}

export function asked(): string[] {
  return coordinator.gets.filter((path) => path.endsWith('/weight'));
}

export async function play(id: string, changes: Partial<Assignment> = {}): Promise<void> {
  const before = log.of('receipt').length;
  coordinator.emit('assignment', coordinator.assignment(id, changes));
  await log.nth('receipt', before + 1);
}

export function memory(): ClientStorage & { readonly files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>();
  return {
    files,
    load: (key) => Promise.resolve(files.get(key) ?? null),
    save: (key, bytes) => Promise.resolve(void files.set(key, bytes)),
    remove: (key) => Promise.resolve(void files.delete(key)),
  };
}

/** Starts a client; the function makes it leave, as if its process had ended. */
export function startOne(train: TrainFunction, storage?: ClientStorage): () => Promise<void> {
  const controller = new AbortController();
  const summary = start({ train, storage, signal: controller.signal });
  return async () => {
    controller.abort();
    await summary;
  };
}
