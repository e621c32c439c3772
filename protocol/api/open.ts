/** Calls that anybody may make, and what monitoring reads. */
import type { ApiRoute } from './route.js';

export const openRoutes: readonly ApiRoute[] = [
  {
    ...{ method: 'get', path: '/healthz', id: 'health', who: 'anyone' },
    summary: 'Whether the process lives',
    answer: [200, 'Health'],
  },
  {
    ...{ method: 'get', path: '/readyz', id: 'readiness', who: 'anyone' },
    summary: 'Whether it leads, and its database and its storage work',
    answer: [200, 'Readiness'],
    codes: ['standby', 'storage_unavailable', 'storage_full', 'shutting_down'],
  },
  {
    ...{ method: 'get', path: '/metrics', id: 'metrics', who: 'viewer' },
    summary: 'Metrics for Prometheus; for anyone where TRIBUTARY_METRICS=open',
    answer: [200, 'text'],
  },
  {
    ...{ method: 'get', path: '/openapi.json', id: 'openapi', who: 'anyone' },
    summary: 'This document',
    answer: [200, 'json'],
  },
  {
    ...{ method: 'get', path: '/v1/rules', id: 'listRules', who: 'anyone' },
    summary: 'Aggregation rules, server optimizers, steps after aggregation',
    answer: [200, 'RuleList'],
  },
  {
    ...{ method: 'get', path: '/v1/ledger-key', id: 'ledgerKey', who: 'anyone' },
    summary: 'The public key that the ledgers are signed with',
    answer: [200, 'LedgerKey'],
    codes: ['not_found'],
  },
  {
    ...{ method: 'post', path: '/v1/runs/:run/join', id: 'joinRun', who: 'anyone' },
    summary: 'Enrols whoever calls, where the run is open or its sites are approved',
    body: 'Joining',
    answer: [201, 'Enrolled'],
    codes: ['forbidden', 'name_taken', 'run_over', 'busy'],
  },
];
