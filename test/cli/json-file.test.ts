import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readJson } from '../../server/cli/json-file.js';
import { folder, useFolder } from '../support/folder.js';

useFolder();

const path = (): string => join(folder, 'run.json');

describe('a JSON file', () => {
  it.each(['', '\uFEFF'])(
    'is read, also with the mark that Windows puts before it: %j',
    async (mark) => {
      await writeFile(path(), `${mark}{"name":"ä \uFEFF数"}\r\n`);
      expect(await readJson(path())).toEqual({ name: 'ä \uFEFF数' });
    },
  );

  it.each(['', '{', '\uFEFF\uFEFF{}', '\0{}'])('that is none is named: %j', async (text) => {
    await writeFile(path(), text);
    await expect(readJson(path())).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringMatching(/run\.json is not JSON: /) as string,
    });
  });
});
