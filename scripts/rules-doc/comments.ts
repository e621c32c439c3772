/** What the comment at the head of a rule's file says. */
import { existsSync, readFileSync } from 'node:fs';

const FOLDERS = ['server/core/rules', 'server/core/optimizers', 'server/core/steps'];

/** One file a rule, named like it. */
export function fileOf(name: string): string {
  const path = FOLDERS.map((folder) => `${folder}/${name}.ts`).find(existsSync);
  if (path) return path;
  throw new Error(`no file ${FOLDERS.map((folder) => `${folder}/${name}.ts`).join(' or ')}`);
}

/** Text as one line, or a formula with its lines indented by four. */
export type Paragraph = string;

export function isFormula(paragraph: Paragraph): boolean {
  return paragraph.startsWith('    ');
}

/** The paragraphs of the comment that a file begins with. */
export function headOf(path: string): Paragraph[] {
  const match = /^\/\*\*\n([\s\S]*?)\n \*\//.exec(readFileSync(path, 'utf8'));
  if (!match) throw new Error(`${path} does not begin with a comment of several lines`);
  const lines = match[1].split('\n').map((line) => line.replace(/^ \* ?/, '').trimEnd());
  return blocks(lines).map(joined);
}

/** Lines that belong together: up to an empty one, or to where a formula begins or ends. */
function blocks(lines: readonly string[]): string[][] {
  const found: string[][] = [];
  let before = '';
  for (const line of lines) {
    const isNew =
      before === '' || isFormula(line) !== isFormula(before) || /^(- |\d+\. )/.test(line);
    if (line !== '') {
      if (isNew) found.push([line]);
      else found.at(-1)!.push(line);
    }
    before = line;
  }
  return found;
}

function joined(lines: readonly string[]): Paragraph {
  return isFormula(lines[0]) ? lines.join('\n') : lines.map((line) => line.trim()).join(' ');
}
