/** Operators, and files: what they upload, and models that are for them only. */
import type { ApiRoute } from './route.js';

export const operatorRoutes: readonly ApiRoute[] = [
  {
    ...{ method: 'get', path: '/v1/operators', id: 'listOperators', who: 'admin' },
    summary: 'All operators, by name',
    answer: [200, 'OperatorList'],
  },
  {
    ...{ method: 'post', path: '/v1/operators', id: 'addOperator', who: 'admin' },
    summary: 'Adds an operator; the token is shown only now',
    body: 'NewOperator',
    answer: [201, 'OperatorToken'],
    codes: ['name_taken'],
  },
  {
    ...{ method: 'post', path: '/v1/operators/:name/revoke', id: 'revokeOperator', who: 'admin' },
    summary: 'Takes an operator their access, for good',
    answer: [200, 'OperatorInfo'],
    codes: ['not_found', 'conflict'],
  },
  {
    ...{ method: 'post', path: '/v1/operators/:name/rotate', id: 'rotateOperator', who: 'admin' },
    summary: 'Gives an operator a new token; the old one is good no longer',
    body: 'Rotation',
    answer: [200, 'OperatorToken'],
    codes: ['not_found', 'conflict'],
  },
  {
    ...{ method: 'put', path: '/v1/blobs/:sha256', id: 'putBlob', who: 'operator' },
    summary: 'Stores a model to start from, a proxy set, or the module of a rule',
    body: 'bytes',
    answer: [201, 'BlobStored'],
  },
  {
    ...{ method: 'get', path: '/v1/runs/:run/checkpoints/:version/average', id: 'getAverage' },
    who: 'operator',
    summary: 'The moving average of the model up to there, of a run with the step "ema"',
    answer: [200, 'bytes'],
    codes: ['not_found', 'gone', 'blob_damaged'],
  },
];
