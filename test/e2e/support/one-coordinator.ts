/** One coordinator for all tests of a file, and the peers of each test. */
import { beforeAll } from 'vitest';
import type { Coordinator } from '../../../server/app.js';
import { OPERATOR, closeCoordinators, request, startCoordinator } from './coordinator.js';
import { leaveAfterEach } from './peer.js';

export let coordinator: Coordinator;

export function useCoordinator(): void {
  closeCoordinators('all');
  leaveAfterEach();
  beforeAll(async () => {
    coordinator = await startCoordinator();
  });
}

/** As an operator, where no other token is given; `null` sends none. */
export function get(
  path: string,
  token: string | null = OPERATOR,
  headers: Record<string, string> = {},
): Promise<Response> {
  return request(coordinator, path, token, { headers });
}
