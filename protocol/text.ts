/** Words of a peer, made safe to log, store, send back and print. */

/** Cuts a text to a length. */
export function clip(text: string, maxLength = 80): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`;
}

/** Whether a string has no half of a surrogate pair, so that UTF-8 can hold it. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/**
 * Escapes every control and formatting character but the line feed, and any half of a surrogate
 * pair. A raw U+0000 would be refused by Postgres, a raw escape would reach an operator's terminal.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{C}\n]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}

/** Quotes what a peer wrote for an error message: cut short, and printable. */
export function quote(text: string): string {
  return printable(JSON.stringify(clip(text)));
}
