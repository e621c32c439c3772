import { describe, expect, it } from 'vitest';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { sha256 } from './support/fake-coordinator.js';
import { coordinator, log, start, until, useHarness } from './support/harness.js';
import { counting, play, weighed } from './support/kept.js';

describe('what comes down with the model', () => {
  useHarness();

  const file = encodeSafetensors({
    'control/dense/kernel': { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    'control/dense/bias': { shape: [2], data: Float32Array.of(5, 6) },
  });
  const path = '/v1/runs/r/checkpoints/3/broadcast';
  const broadcast = { path, sha256: sha256(file), bytes: file.byteLength };

  it('is there for training, over the shared tensors', async () => {
    coordinator.files.set(path, file);
    const { train, requests } = counting();
    void start({ train });
    await log.nth('connected');
    await play('a1', { broadcast });
    weighed('a1');
    await play('a2', { round: 5 });
    expect(requests[0].broadcast).toEqual({
      control: {
        'dense/kernel': Float32Array.of(1, 2, 3, 4),
        'dense/bias': Float32Array.of(5, 6),
      },
    });
    expect(requests[1].broadcast).toEqual({});
  });

  it('is refused where it is not what was announced', async () => {
    coordinator.files.set(
      path,
      file.map((byte, i) => (i === file.length - 1 ? byte ^ 1 : byte)),
    );
    void start({ train: counting().train });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1', { broadcast }));
    await until(() => coordinator.declines.length > 0);
    expect(coordinator.declines[0].reason).toContain('announced was');
    expect(coordinator.gets.filter((get) => get === path)).toHaveLength(3);
  });
});
