/** How the result of a fusion is printed for people. */
import type { Outcome } from '../../core/rules/rule.js';
import { bytes, table } from '../output.js';

export interface Fused {
  readonly rule: string;
  /** With their defaults filled in. */
  readonly options: unknown;
  readonly optimizer: { readonly name: string; readonly options: unknown };
  readonly out: string;
  readonly bytes: number;
  readonly sha256: string;
  /** In client-id order, which is also that of coefficients and of the rows of matrices. */
  readonly clients: readonly {
    readonly client: string;
    readonly file: string;
    readonly examples: number;
    readonly weight: number;
  }[];
  readonly diagnostics: Outcome['diagnostics'];
  readonly coefficients?: Outcome['coefficients'];
  readonly matrices?: Outcome['matrices'];
}

export function fused({ rule, out, bytes: size, sha256, clients, diagnostics }: Fused): string {
  const rows = clients.map(({ client, examples, weight }) => [client, examples, short(weight)]);
  const numbers = Object.entries(diagnostics).map(([name, value]) => [name, short(value)]);
  return [
    table(['client', 'examples', 'weight'], rows),
    ...(numbers.length > 0 ? [table(['diagnostic', 'value'], numbers)] : []),
    `${out}: ${bytes(size)} by ${rule}, sha256 ${sha256.slice(0, 12)}`,
  ].join('\n\n');
}

/** Six digits, without zeros at their end; as a number, so that tables set it to the right. */
function short(value: number): number {
  return Number(value.toPrecision(6));
}
