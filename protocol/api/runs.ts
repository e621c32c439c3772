/** Runs, and their clients: for operators. */
import { MAX_PAGE } from '../http.js';
import type { ApiRoute } from './route.js';

const LIMIT = `up to ${MAX_PAGE}, and ${MAX_PAGE} if nothing is said`;

const LEDGER_PAGE = {
  from: 'The first event of the page, by its sequence number; 1 if nothing is said',
  limit: `Events of the page at most, ${LIMIT}; fewer are the last ones`,
};

const ROUND_PAGE = {
  from:
    'The first round of the page, by its place among all attempts, from 1; the newest rounds if ' +
    'nothing is said',
  limit: `Rounds of the page at most, ${LIMIT}`,
};

export const runRoutes: readonly ApiRoute[] = [
  {
    ...{ method: 'post', path: '/v1/runs', id: 'createRun', who: 'operator' },
    summary: 'Creates a run, and begins it',
    body: 'NewRun',
    answer: [201, 'RunSummary'],
    codes: [
      ...(['rule_unknown', 'rule_options', 'rule_needs', 'bad_model'] as const),
      ...(['too_many_runs', 'storage_full', 'blob_damaged'] as const),
    ],
  },
  {
    ...{ method: 'get', path: '/v1/runs', id: 'listRuns', who: 'viewer' },
    summary: 'All runs, newest first',
    answer: [200, 'RunList'],
  },
  {
    ...{ method: 'get', path: '/v1/runs/:run', id: 'showRun', who: 'viewer' },
    summary: 'A run with its newest rounds and its clients, and what it does at the moment',
    query: ROUND_PAGE,
    answer: [200, 'RunDetail'],
  },
  {
    ...{ method: 'post', path: '/v1/runs/:run/pause', id: 'pauseRun', who: 'operator' },
    summary: 'The round under way ends as ever, and no other begins',
    answer: [200, 'RunSummary'],
    codes: ['run_over', 'conflict'],
  },
  {
    ...{ method: 'post', path: '/v1/runs/:run/resume', id: 'resumeRun', who: 'operator' },
    summary: 'Goes on with a run that was paused',
    answer: [200, 'RunSummary'],
    codes: ['run_over', 'conflict'],
  },
  {
    ...{ method: 'post', path: '/v1/runs/:run/stop', id: 'stopRun', who: 'operator' },
    summary: 'Ends a run; its checkpoints stay',
    answer: [200, 'RunSummary'],
    codes: ['run_over', 'conflict'],
  },
  {
    ...{ method: 'get', path: '/v1/runs/:run/rounds/:round', id: 'showRound', who: 'viewer' },
    summary: 'A round with the updates of its cohort, their receipts and weights',
    query: { attempt: 'Which attempt at the round, from 1; without it the newest' },
    answer: [200, 'RoundDetail'],
    codes: ['not_found'],
  },
  {
    ...{ method: 'get', path: '/v1/runs/:run/events', id: 'listEvents', who: 'viewer' },
    summary: "The run's ledger, from its first event",
    query: LEDGER_PAGE,
    answer: [200, 'EventList'],
  },
  {
    ...{ method: 'get', path: '/v1/events', id: 'listCoordinatorEvents', who: 'viewer' },
    summary: "The coordinator's own ledger: operators, leaders",
    query: LEDGER_PAGE,
    answer: [200, 'EventList'],
  },
  {
    ...{ method: 'get', path: '/v1/runs/:run/clients', id: 'listClients', who: 'viewer' },
    summary: 'The clients of a run, and their standing',
    answer: [200, 'ClientList'],
  },
  {
    ...{ method: 'post', path: '/v1/runs/:run/clients', id: 'enrolClient', who: 'operator' },
    summary: 'Enrols a client; its token is shown only now',
    body: 'Enrolment',
    answer: [201, 'Enrolled'],
    codes: ['name_taken', 'run_over', 'conflict'],
  },
  clientChange('approve', 'approveClient', 'Lets a client that is pending take part'),
  clientChange('revoke', 'revokeClient', 'Ends the connections of a client, for good'),
  {
    ...{ method: 'post', path: '/v1/runs/:run/clients/:client/rotate', id: 'rotateClient' },
    who: 'operator',
    summary: 'Gives a client a new token; the old one is good no longer',
    body: 'Rotation',
    answer: [200, 'Enrolled'],
    codes: ['not_found', 'conflict'],
  },
];

function clientChange(verb: string, id: string, summary: string): ApiRoute {
  return {
    ...{ method: 'post', path: `/v1/runs/:run/clients/:client/${verb}`, id, who: 'operator' },
    summary,
    answer: [200, 'SiteInfo'],
    codes: ['not_found', 'conflict'],
  };
}
