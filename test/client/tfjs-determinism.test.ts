import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { trainOnce } from './support/train-once.js';

const script = fileURLToPath(new URL('support/train-once.ts', import.meta.url));

describe('the same seed', () => {
  it('gives the same bits in another process, whatever this one has built before', async () => {
    const alone = promisify(execFile)(process.execPath, ['--import', 'tsx', script]);
    await prepareBackend('wasm');
    sequential({
      layers: [layers.dense({ units: 2, inputShape: [2] }), layers.dropout({ rate: 0.1 })],
    });
    const here = await trainOnce();
    expect(await trainOnce()).toBe(here);
    expect((await alone).stdout.trim()).toBe(here);
  });
});
