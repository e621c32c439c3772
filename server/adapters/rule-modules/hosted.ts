/** The modules that a rule gets from the process that runs it, instead of bringing its own. */
import * as zod from 'zod';
import * as authoring from '../../core/authoring.js';

type Exports = Readonly<Record<string, unknown>>;

/** By what a rule writes after `from`. */
export const hosted: ReadonlyMap<string, Exports> = new Map<string, Exports>([
  ['tributary-fl', authoring],
  ['zod', zod],
]);

/** Where a linked rule finds them: the name of the parameter of its function. */
export const HOSTED = 'hosted';

/** A module that hands on what is hosted. Written out name by name, so that a wrong one is found. */
export function handingOn(path: string): string {
  const names = Object.keys(hosted.get(path) ?? {}).filter((name) => name !== 'default');
  const lines = names.flatMap((name, i) => [
    `const v${i} = ${HOSTED}.get(${JSON.stringify(path)})[${JSON.stringify(name)}];`,
    `export { v${i} as ${name} };`,
  ]);
  return lines.join('\n');
}

export function refusedImport(path: string): string {
  const allowed = [...hosted.keys()].map((name) => `"${name}"`).join(' and ');
  return `a rule is arithmetic and imports no "${path}": it may import ${allowed}, files of its own, and packages that need nothing of Node`;
}
