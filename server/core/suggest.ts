/** "Did you mean …?" */

/** Fewest insertions, deletions and replacements of a letter that turn one word into the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
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
