/**
 * Writes docs/openapi.json from the table of calls in protocol/api.ts. With `--check` it writes nothing
 * and fails where the file is not what it would write.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { format, resolveConfig } from 'prettier';
import { openApiDocument } from '../server/adapters/http/openapi.js';
import { packageVersion } from '../server/version.js';

const PAGE = 'docs/openapi.json';

const options = { ...(await resolveConfig(PAGE)), parser: 'json' };
const text = await format(JSON.stringify(openApiDocument(packageVersion), null, 2), options);
const before = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '';
if (text !== before && process.argv.includes('--check')) {
  process.stderr.write(
    `not what protocol/api.ts says now: ${PAGE}\n  node --import tsx scripts/openapi.ts\n`,
  );
  process.exitCode = 1;
} else if (text !== before) writeFileSync(PAGE, text);
