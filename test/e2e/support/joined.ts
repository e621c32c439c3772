/** Runs with one client, and what operators are shown of them. */
import { runDetail } from '../../../protocol/http.js';
import type { RunDetail } from '../../../protocol/http.js';
import type { RunSpecInput } from '../../../protocol/run.js';
import type { Coordinator } from '../../../server/app.js';
import { OPERATOR, createRun, enrol, request } from './coordinator.js';
import { Peer } from './peer.js';

export interface RunWithClient {
  readonly runId: string;
  readonly token: string;
}

export interface RunWithPeer extends RunWithClient {
  readonly peer: Peer;
}

/** A run with one client that is enrolled, and not there yet. */
export async function runWithClient(
  coordinator: Coordinator,
  changes: Partial<RunSpecInput> = {},
): Promise<RunWithClient> {
  const { id: runId } = await createRun(coordinator, changes);
  return { runId, token: (await enrol(coordinator, runId, 'anna')).token };
}

/** A run, and a client of it that is there. */
export async function runWithPeer(
  coordinator: Coordinator,
  changes: Partial<RunSpecInput> = {},
): Promise<RunWithPeer> {
  const enrolled = await runWithClient(coordinator, changes);
  return { ...enrolled, peer: await Peer.join(coordinator.url, enrolled.token) };
}

export async function detailOf(coordinator: Coordinator, runId: string): Promise<RunDetail> {
  return runDetail.parse(await (await request(coordinator, `/v1/runs/${runId}`, OPERATOR)).json());
}
