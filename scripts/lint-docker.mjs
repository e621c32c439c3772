#!/usr/bin/env node
/** Lints the Dockerfile; docker-compose.yml is dclint's. Exits 1 on any finding. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { validate } from 'dockerfile-utils';

const findings = validate(readFileSync('Dockerfile', 'utf8'));
for (const { range, message } of findings) {
  console.error(`Dockerfile:${range.start.line + 1}: ${message}`);
}
process.exitCode = findings.length > 0 ? 1 : 0;
