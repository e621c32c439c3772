import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

function configOf(path: string): ts.ParsedCommandLine {
  const file = join(root, path);
  const { config } = ts.readConfigFile(file, (name) => readFileSync(name, 'utf8')) as {
    config: unknown;
  };
  return ts.parseJsonConfigFileContent(config, ts.sys, join(file, '..'));
}

/** What the type checker says of these files, compiled as core is: without DOM, Node or timers. */
function diagnostics(files: readonly string[], only?: RegExp): string[] {
  const { options } = configOf('server/core/tsconfig.json');
  const program = ts.createProgram(files, options);
  return ts
    .getPreEmitDiagnostics(program)
    .filter(({ file }) => !only || (file && only.test(file.fileName)))
    .map(({ file, start, messageText }) => {
      const line = file?.getLineAndCharacterOfPosition(start ?? 0).line ?? 0;
      const text = ts.flattenDiagnosticMessageText(messageText, '\n');
      return `${file?.fileName.slice(root.length + 1)}:${line + 1} ${text}`;
    });
}

describe('the type checker', () => {
  it('compiles core without the DOM, Node, timers or WebAssembly', () => {
    const { fileNames, options } = configOf('server/core/tsconfig.json');
    expect(options.types).toEqual([]);
    expect(options.lib).toEqual(['lib.es2023.d.ts']);
    expect(fileNames.length).toBeGreaterThan(20);
    expect(diagnostics(fileNames)).toEqual([]);
  });

  it('refuses rules that use what they did not declare, and only those', () => {
    const file = join(root, 'test/core/rule-types.ts');
    expect(readFileSync(file, 'utf8').match(/@ts-expect-error/g)).toHaveLength(13);
    // An expected error that is not there is a diagnostic of its own.
    expect(diagnostics([file], /rule-types/)).toEqual([]);
  });
});
