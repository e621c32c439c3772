#!/usr/bin/env node
/**
 * Compiles the kernels from AssemblyScript to WASM SIMD. The memory is imported, so that the caller
 * decides how much of it there is; there is no garbage collector and nothing is allocated. Relaxed
 * SIMD stays off: its results differ from machine to machine.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import process from 'node:process';
import asc from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));
const outFile = 'server/adapters/generated/kernels.wasm';
/** tsc copies no .wasm: what is built finds its own beside it. */
const copies = ['', 'dist/'];

const options = [
  'server/adapters/wasm-kernels/assembly/index.ts',
  ...['--baseDir', root, '--outFile', outFile],
  ...['--optimizeLevel', '3', '--shrinkLevel', '0', '--converge', '--noAssert'],
  ...['--runtime', 'stub', '--enable', 'simd', '--importMemory', '--noExportMemory'],
  ...process.argv.slice(2),
];
const { error, stderr } = await asc.main(options, {
  readFile: (name, base) => readFile(`${base}/${name}`, 'utf8').catch(() => null),
  writeFile: async (name, contents, base) => {
    for (const copy of copies) {
      const path = `${base}/${copy}${name}`;
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, contents);
    }
  },
});
if (error) {
  process.stderr.write(`${stderr.toString()}${error.message}\n`);
  process.exitCode = 1;
}
