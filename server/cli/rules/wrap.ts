/** Prose in the width of a terminal. */

export const WIDTH = 80;

/** Breaks a text into lines of at most `width`; a word that is longer stands alone. */
export function wrap(text: string, width = WIDTH): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && longer.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return line === '' ? lines : [...lines, line];
}

/** A label in a column of its own, and text wrapped beside it. */
export function beside(label: string, text: string, column: number): string[] {
  const [first = '', ...rest] = wrap(text, WIDTH - column);
  // A label that is wider than its column stands above the text.
  if (label.length >= column) return [label, ...indented([first, ...rest], column)];
  return [`${label.padEnd(column)}${first}`.trimEnd(), ...indented(rest, column)];
}

function indented(lines: readonly string[], by: number): string[] {
  return lines.map((line) => `${' '.repeat(by)}${line}`);
}
