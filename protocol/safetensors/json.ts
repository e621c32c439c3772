/**
 * Reads one JSON document that an untrusted peer wrote, token by token.
 *
 * JSON.parse will not do for that: it keeps the last of two equal keys without a word, so that two
 * readers of the same file can see different tensors; it takes `1.0`, `1e0` and `-0` for whole
 * numbers; and it builds whatever nesting it is given. Here the caller asks for what its schema has
 * next, so nothing else is ever built and no nesting costs stack.
 */

import { clip, isWellFormed, quote } from '../text.js';

/** Called with what is wrong and the keys that lead to it. Must throw. */
export type Refuse = (problem: string, path: readonly string[]) => never;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const WHITESPACE = ' \t\n\r';
const NUMBER = '0123456789+-.eE';
const WHOLE_NUMBER = /^(?:0|[1-9][0-9]*)$/;

export class JsonScanner {
  private at = 0;
  private readonly path: string[] = [];

  constructor(
    private readonly text: string,
    private readonly refuse: Refuse,
  ) {}

  fail(problem: string): never {
    return this.refuse(problem, this.path);
  }

  /** Reads an object; `field` must read the value of each key. A key that comes twice is refused. */
  object(field: (key: string) => void): void {
    const seen = new Set<string>();
    this.sequence('{', '}', () => {
      const key = this.string();
      this.path.push(key);
      if (seen.has(key)) this.fail('given twice');
      seen.add(key);
      this.expect(':');
      field(key);
      this.path.pop();
    });
  }

  /** Reads an array of whole numbers from 0 to 2^53 - 1, written without point or exponent. */
  wholeNumbers(maxLength: number): number[] {
    const numbers: number[] = [];
    this.sequence('[', ']', () => {
      if (numbers.length === maxLength) this.fail(`more than ${maxLength} numbers`);
      numbers.push(this.wholeNumber());
    });
    return numbers;
  }

  string(): string {
    this.skipWhitespace();
    if (this.text.charCodeAt(this.at) !== QUOTE) this.unexpected('a string');
    const start = this.at;
    let end = start + 1;
    let escaped = false;
    for (; end < this.text.length; end++) {
      const code = this.text.charCodeAt(end);
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        escaped = true;
        end++;
      }
    }
    if (end >= this.text.length) this.fail('a string without an end');
    this.at = end + 1;
    const value = this.unescape(this.text.slice(start, this.at));
    // "\ud800" alone is no character: encoded again it would become another name.
    if (escaped && !isWellFormed(value)) this.fail('a string with half of a surrogate pair');
    return value;
  }

  /** Nothing but whitespace may follow the document. */
  end(): void {
    this.skipWhitespace();
    if (this.at < this.text.length) this.unexpected('the end');
  }

  private wholeNumber(): number {
    this.skipWhitespace();
    const start = this.at;
    while (this.at < this.text.length && NUMBER.includes(this.text[this.at])) this.at++;
    const digits = this.text.slice(start, this.at);
    if (digits === '') this.unexpected('a whole number');
    if (!WHOLE_NUMBER.test(digits)) this.fail(`${clip(digits)} is not a whole number`);
    const value = Number(digits);
    if (!Number.isSafeInteger(value)) this.fail(`${clip(digits)} is 2^53 or more`);
    return value;
  }

  private sequence(open: string, close: string, item: () => void): void {
    this.expect(open);
    if (this.take(close)) return;
    do item();
    while (this.take(','));
    this.expect(close);
  }

  private unescape(token: string): string {
    try {
      return JSON.parse(token) as string;
    } catch {
      return this.fail(`${quote(token)} is not a JSON string`);
    }
  }

  private expect(char: string): void {
    if (!this.take(char)) this.unexpected(`"${char}"`);
  }

  private take(char: string): boolean {
    this.skipWhitespace();
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  private skipWhitespace(): void {
    while (this.at < this.text.length && WHITESPACE.includes(this.text[this.at])) this.at++;
  }

  private unexpected(wanted: string): never {
    const found = this.at < this.text.length ? quote(this.text[this.at]) : 'the end';
    return this.fail(`expected ${wanted} at character ${this.at}, found ${found}`);
  }
}
