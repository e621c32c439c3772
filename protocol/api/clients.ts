/** What clients call: who they are, what to train, and what they send back. */
import type { ApiRoute } from './route.js';

export const clientRoutes: readonly ApiRoute[] = [
  {
    ...{ method: 'get', path: '/v1/me', id: 'whoAmI', who: 'client' },
    summary: 'Whom the token names, and for which run',
    answer: [200, 'Identity'],
  },
  {
    ...{ method: 'get', path: '/v1/runs/:run/task', id: 'getTask', who: 'reader' },
    summary: 'What is trained: model, data contract, loss',
    answer: [200, 'Task'],
  },
  {
    ...{ method: 'get', path: '/v1/runs/:run/plan', id: 'getPlan', who: 'client' },
    summary: 'What a client would run and send, for its review before it trains',
    answer: [200, 'Plan'],
  },
  checkpoint('', 'getCheckpoint', 'The model after so many rounds'),
  checkpoint('/broadcast', 'getBroadcast', 'What the rule sends down with it'),
  {
    ...{ method: 'put', path: '/v1/assignments/:id/update', id: 'putUpdate', who: 'client' },
    summary:
      'Sends an update. 201: accepted and durable; 200: it was before. A rejected or late one is ' +
      'answered with its error, and with its receipt',
    body: 'bytes',
    answer: [201, 'UploadAnswer'],
    codes: [
      ...(['assignment_unknown', 'assignment_used', 'late', 'busy', 'blob_damaged'] as const),
      ...(['bad_safetensors', 'wrong_tensors', 'wrong_shape', 'wrong_dtype'] as const),
      ...(['not_finite', 'bad_facts', 'over_cap', 'missing_vector'] as const),
    ],
  },
  {
    ...{ method: 'get', path: '/v1/assignments/:id/weight', id: 'getWeight', who: 'client' },
    summary: 'The weight that a commit gave an update',
    answer: [200, 'GivenWeight'],
    codes: ['assignment_unknown'],
  },
  {
    ...{ method: 'post', path: '/v1/assignments/:id/evaluation', id: 'report', who: 'client' },
    summary: 'Sends the metrics of an evaluation',
    body: 'EvaluationReport',
    answer: [200, 'EvaluationTaken'],
    codes: ['assignment_unknown', 'over_cap'],
  },
  {
    ...{ method: 'get', path: '/v1/questions/:id/params', id: 'getQuestion', who: 'client' },
    summary: "The parameters that a question to a client's oracle is about",
    answer: [200, 'bytes'],
    codes: ['not_found'],
  },
  {
    ...{ method: 'put', path: '/v1/questions/:id/answer', id: 'answerQuestion', who: 'client' },
    summary: 'The answer of an oracle: loss and gradient',
    body: 'bytes',
    answer: [200, 'EvaluationTaken'],
    codes: ['not_found', 'bad_safetensors', 'wrong_tensors', 'wrong_shape', 'not_finite'],
  },
];

function checkpoint(part: string, id: string, summary: string): ApiRoute {
  return {
    ...{ method: 'get', path: `/v1/runs/:run/checkpoints/:version${part}`, id, who: 'reader' },
    summary,
    answer: [200, 'bytes'],
    codes: ['not_found', 'gone', 'blob_damaged'],
  };
}
