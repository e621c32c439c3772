/** Questions and answers between two threads. */
import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { Line } from '../../server/adapters/aggregation/line.js';

describe('a line between threads', () => {
  interface Echo {
    echo(value: unknown): Promise<unknown>;
    fail(error: unknown): Promise<never>;
  }

  function ends(): { line: Line<Echo, object>; close: () => void } {
    const { port1, port2 } = new MessageChannel();
    const services: Echo = {
      echo: (value) => Promise.resolve(value),
      fail: (kind) => {
        if (kind === 'ours') throw new TributaryError('over_cap', 'too large', { cap: 8 });
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- as a bad rule may
        throw kind === 'text' ? 'a text' : new RangeError('out of range');
      },
    };
    new Line<object, Echo>(port2, services);
    return { line: new Line<Echo, object>(port1, {}), close: () => port1.close() };
  }

  it('answers each question with its own answer', async () => {
    const { line, close } = ends();
    const answers = [1, 'two', { three: [3] }].map((value) => line.ask('echo', value));
    expect(await Promise.all(answers)).toEqual([1, 'two', { three: [3] }]);
    close();
  });

  it('moves vectors, and gives them back whole', async () => {
    const { line, close } = ends();
    const params = Float32Array.of(1.5, -0, NaN);
    const answer = line.ask('echo', { params, batch: 2 });
    expect(params).toHaveLength(0);
    expect(await answer).toEqual({ params: Float32Array.of(1.5, -0, NaN), batch: 2 });
    close();
  });

  it('passes errors on with what they say', async () => {
    const { line, close } = ends();
    const ours = await line.ask('fail', 'ours').catch((error: unknown) => error);
    expect(ours).toBeInstanceOf(TributaryError);
    expect(ours).toMatchObject({ code: 'over_cap', message: 'too large', details: { cap: 8 } });
    await expect(line.ask('fail', 'range')).rejects.toThrow('out of range');
    await expect(line.ask('fail', 'text')).rejects.toThrow('a text');
    close();
  });

  it('says so where an argument or an answer is no plain data', async () => {
    const { line, close } = ends();
    await expect(line.ask('echo', () => 1)).rejects.toThrow('could not be cloned');
    expect(await line.ask('echo', 'still there')).toBe('still there');
    close();
  });

  it('fails what is asked over a line that is broken', async () => {
    const { line, close } = ends();
    const asked = expect(line.ask('echo', 1)).rejects.toThrow('gone');
    line.break(new Error('gone'));
    await asked;
    await expect(line.ask('echo', 2)).rejects.toThrow('gone');
    close();
  });
});
