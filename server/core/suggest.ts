/** "Did you mean …?" */

/**
 * Fewest insertions, deletions, replacements of a letter and swaps of neighbours that turn one word
 * into the other. Without swaps "fedpg" would be as near to "fedavg" as to "fedgp".
 */
function editDistance(a: string, b: string): number {
  let [above, row]: number[][] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? above[j - 2] + 1 : Infinity;
      next.push(Math.min(replaced, swapped, row[j] + 1, next[j - 1] + 1));
    }
    [above, row] = [row, next];
  }
  return row[b.length];
}

/** The candidate nearest to the word, without regard to case; null where none is near. */
function nearest(word: string, candidates: Iterable<string>): string | null {
  const asked = word.toLowerCase().slice(0, 64);
  const limit = Math.max(2, Math.floor(asked.length / 2));
  let best: { readonly name: string; readonly distance: number } | null = null;
  for (const name of candidates) {
    const distance = editDistance(asked, name.toLowerCase());
    if (distance <= limit && distance < (best?.distance ?? Infinity)) best = { name, distance };
  }
  return best?.name ?? null;
}

/** `; did you mean "fedavg"?`, or the candidates where none is near. */
export function suggestion(word: string, candidates: Iterable<string>): string {
  const names = [...candidates];
  const name = nearest(word, names);
  if (name !== null) return `; did you mean "${name}"?`;
  return names.length > 0 ? `; there are ${names.join(', ')}` : '; there are none';
}
