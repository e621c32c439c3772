import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { folder, useFolder } from '../support/folder.js';
import { file, fixtures, fuse } from './support/fuse.js';

useFolder();

describe('an output that is no file', () => {
  it('is written as it is: a pipe stays a pipe, and has the whole model', async () => {
    await fuse(fixtures);
    const expected = await readFile(file('out.safetensors'));
    const pipe = file('pipe');
    execFileSync('mkfifo', [pipe]);
    // Opened without waiting for a writer; what is fused is less than a pipe holds.
    const reader = await open(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      await fuse(fixtures, { out: pipe });
      expect((await stat(pipe)).isFIFO()).toBe(true);
      const { bytesRead, buffer } = await reader.read(Buffer.alloc(expected.length + 1));
      expect(buffer.subarray(0, bytesRead)).toEqual(expected);
    } finally {
      await reader.close();
    }
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});
