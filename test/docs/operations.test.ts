/** docs/operations.md and docs/threat-model.md against the code that they speak of. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { errorKinds } from '../../protocol/errors.js';
import { configVariables } from '../../server/config.js';

const pages = ['docs/operations.md', 'docs/threat-model.md'] as const;
const operations = readFileSync(pages[0], 'utf8');

describe('the page on operations', () => {
  it('says of every error code what it means, with its status and its help', () => {
    const rows = [
      ...operations.matchAll(/^\| `(\w+)` +\| (\d{3}) +\| (yes|no) +\| (.+?) +\| (.+?) +\|$/gm),
    ];
    const documented = Object.fromEntries(
      rows.map(([, code, status, retry, , help]) => [
        code,
        { status: Number(status), retryable: retry === 'yes', help },
      ]),
    );
    expect(documented).toEqual(errorKinds);
    for (const [, code, , , meaning] of rows) expect(meaning.length, code).toBeGreaterThan(10);
  });
});

describe.each(pages)('%s', (page) => {
  const text = readFileSync(page, 'utf8');

  it('names no variable that the coordinator does not read', () => {
    const named = [...text.matchAll(/\bTRIBUTARY_[A-Z_]+\b/g)].map(([name]) => name);
    const known = [...configVariables, 'TRIBUTARY_URL'];
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
  });

  it('links to files that are there', () => {
    const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, link]) => link);
    expect(links.filter((link) => !existsSync(join(dirname(page), link)))).toEqual([]);
  });
});
