import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { errorBody, errorKinds, parse, TributaryError } from '../../protocol/errors.js';
import type { ErrorCode } from '../../protocol/errors.js';

const codes = Object.keys(errorKinds) as ErrorCode[];

/** The error that a call throws. */
function thrownBy(call: () => unknown): TributaryError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(TributaryError);
    return error as TributaryError;
  }
  throw new Error('nothing was thrown');
}

describe.each(codes)('the error %s', (code) => {
  it('says in one sentence what to do next', () => {
    expect(errorKinds[code].help).toMatch(/^[A-Z].*\.$/);
  });

  it('has the HTTP status of a failure', () => {
    const { status } = errorKinds[code];
    expect(Number.isInteger(status) && status >= 400 && status <= 599).toBe(true);
  });

  it('comes out of its body as it went in, with and without details', () => {
    for (const details of [undefined, { path: 'a.0', tensors: ['w'], least: 3 }]) {
      const error = new TributaryError(code, 'tensor "w": has no dtype', details);
      const sent: unknown = JSON.parse(JSON.stringify(error.toBody()));
      const received = TributaryError.fromBody(parse(errorBody, sent, 'answer'));

      expect(received).toEqual(error);
      expect(received.details).toEqual(details);
      expect(received.toBody()).toEqual(error.toBody());
      expect([received.status, received.retryable]).toEqual([
        errorKinds[code].status,
        errorKinds[code].retryable,
      ]);
    }
  });
});

describe('an error code', () => {
  it('is retryable where the fault can pass by itself, and never for the content that was sent', () => {
    for (const code of codes) {
      const { status, retryable } = errorKinds[code];
      if (status === 408 || status === 429) expect(retryable, code).toBe(true);
      // Approval may come at any moment, with nothing changed in what is sent.
      const passing = code === 'not_approved';
      if ([401, 403, 422].includes(status)) expect(retryable, code).toBe(passing);
    }
    // Not the update's fault but its journey's: a client must send these again.
    expect([errorKinds.truncated.retryable, errorKinds.wrong_hash.retryable]).toEqual([true, true]);
  });

  it('that a later version added is refused by name', () => {
    const body = { code: 'from_the_future', message: 'm', help: 'h', retryable: false };
    expect(thrownBy(() => parse(errorBody, body, 'answer')).message).toMatch(/^answer: code: /);
  });

  it('keeps its cause, which stays out of the body', () => {
    const cause = new Error('disk is full');
    const error = new TributaryError('storage_unavailable', 'cannot save', undefined, { cause });

    expect(error.cause).toBe(cause);
    expect(JSON.stringify(error.toBody())).not.toContain('disk');
  });
});

describe('parse', () => {
  const schema = z.strictObject({
    clients: z.array(z.strictObject({ name: z.string(), age: z.int().default(1) })),
  });

  it('gives the value with its defaults', () => {
    expect(parse(schema, { clients: [{ name: 'a' }] }, 'run')).toEqual({
      clients: [{ name: 'a', age: 1 }],
    });
  });

  it('names what was parsed and the path of the first field that is wrong', () => {
    const error = thrownBy(() =>
      parse(schema, { clients: [{ name: 'a' }, { name: 7 }] }, 'run specification'),
    );

    expect(error.code).toBe('bad_request');
    expect(error.message).toMatch(/^run specification: clients\.1\.name: .*string/);
    expect(error.details).toEqual({ path: 'clients.1.name' });
  });

  it('names no path where the value as a whole is wrong', () => {
    const error = thrownBy(() => parse(schema, null, 'run'));

    expect(error.message).toBe('run: Invalid input: expected object, received null');
    expect(error.details).toEqual({ path: '' });
  });

  it('throws the code that it is given', () => {
    expect(thrownBy(() => parse(schema, {}, 'update', 'bad_facts')).code).toBe('bad_facts');
  });
});
