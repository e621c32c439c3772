/** The grid as blocks of 80 columns, and where a rule does not do what its paper claims. */
import type { GridCell, GridResult, GridRow } from '../../simulation/grid.js';
import { TOLERATED } from '../../simulation/grid.js';
import { table } from '../output.js';

/** Attacks side by side. */
const COLUMNS = 4;
const WIDTH = 80;

export function renderedGrid(result: GridResult): string {
  const { rules, attacks, seeds, rounds, alpha, rows } = result;
  const split = alpha === null ? 'equal shares of digits' : `digits by Dirichlet(${alpha})`;
  const blocks = Array.from({ length: Math.ceil(attacks.length / COLUMNS) }, (_, k) =>
    block(rows, attacks.slice(k * COLUMNS, (k + 1) * COLUMNS)),
  );
  return [
    `${rules.length} rules, 20 clients, ${split}, 4 of them attackers`,
    `accuracy in per cent after ${rounds} rounds, ${seeds.length === 1 ? 'one seed' : `mean of ${seeds.length} seeds`}`,
    '',
    blocks.join('\n\n'),
    '',
    '* its paper claims to withstand this attack',
    `! loses more than ${100 * TOLERATED} points of its own accuracy without an attack`,
    ...broken(rows),
  ].join('\n');
}

function block(rows: readonly GridRow[], attacks: readonly string[]): string {
  const shown = [null, ...attacks];
  return table(
    ['rule', ...shown.map((attack) => attack ?? 'none')],
    rows.map(({ rule, cells }) => [rule, ...shown.map((attack) => cellText(cells, attack))]),
  );
}

function cellText(cells: readonly GridCell[], wanted: string | null): string {
  const cell = cells.find(({ attack }) => attack === wanted);
  if (!cell) return '';
  const value = cell.diverged > 0 ? 'diverged' : (100 * cell.accuracy).toFixed(1);
  return `${value}${cell.claimed ? '*' : ''}${cell.holds ? '' : '!'}`;
}

/** The claims that did not hold here, with the condition under which they were made. */
function broken(rows: readonly GridRow[]): string[] {
  const lines = rows.flatMap(({ rule, cells, scope }) => {
    const lost = cells.filter(({ claimed, holds }) => claimed && !holds);
    if (lost.length === 0) return [];
    const which = lost.map(({ attack }) => attack).join(', ');
    return wrapped(`${rule} does not withstand ${which} here. Its paper: ${scope ?? ''}`);
  });
  return lines.length > 0 ? ['', ...lines] : ['', 'Every claim holds here.'];
}

function wrapped(text: string): string[] {
  return text.split(' ').reduce<string[]>((lines, word) => {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > WIDTH) return [...lines, word];
    return [...lines.slice(0, -1), `${last} ${word}`];
  }, []);
}
