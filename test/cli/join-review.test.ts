import { describe, expect, it } from 'vitest';
import { sitePolicy } from '../../client/policy.js';
import { reviewRequest } from '../../client/review.js';
import { reviewer, reviewText } from '../../server/cli/join/review.js';
import { credentialsOf } from '../../server/cli/join/credentials.js';
import { plan, task } from '../client/support/fake-coordinator.js';

const never = new AbortController().signal;
const offer = { trains: true, answers: true };

describe('what tributary join --review shows', () => {
  it('names the run, the model by its hash, and all that would leave', async () => {
    const policy = sitePolicy.parse({ metrics: ['loss'], clipNorm: 2 });
    const told = { ...plan, keepUpdates: true, answers: true };
    const request = await reviewRequest(told, task, offer, policy);
    const text = reviewText(request);
    for (const part of [
      'r (toy-run)',
      'fedavg {}',
      `sha256 ${request.modelSha256}`,
      '"learningRate":0.25',
      'are KEPT after their round',
      'delta/dense/kernel [2, 2], 16 B',
      'delta/norm/mean [2], 8 B',
      '32 B in all, float32',
      'numbers: numExamples, numSteps; metrics: loss',
      'scaled down to norm 2',
      'loss and gradient on the validation data',
    ]) {
      expect(text).toContain(part);
    }
    expect(text).not.toContain('delta/base/kernel');
  });

  it('stays short for a model of many tensors', async () => {
    const tensors = Array.from({ length: 300 }, (_, i) => ({
      ...task.model.tensors[0],
      name: `block${i}`,
    }));
    const deep = { ...task, model: { ...task.model, tensors } };
    const text = reviewText(await reviewRequest(plan, deep, offer, {}));
    expect(text).toContain('and 260 more');
    expect(text.split('\n').length).toBeLessThan(60);
  });

  it('is refused where nobody can be asked', async () => {
    const request = await reviewRequest(plan, task, offer, {});
    expect(process.stdin.isTTY).toBeFalsy();
    await expect(reviewer(false, never)(request)).rejects.toThrow(/no --yes/);
    expect(await reviewer(true, never)(request)).toBe(true);
  });
});

describe('as whom tributary join takes part', () => {
  it('is a token, or a run to enrol in', () => {
    expect(credentialsOf({ token: 't' })).toMatchObject({ token: 't' });
    expect(credentialsOf({ run: 'r', name: 'ada' })).toMatchObject({ run: 'r', name: 'ada' });
  });

  it.each([
    [{ token: 't', run: 'r' }, /^--run: the token names it/],
    [{ token: 't', name: 'ada' }, /^--name: only with --run/],
  ])('is not both: %o', (options, message) => {
    expect(() => credentialsOf(options)).toThrow(message);
  });
});
