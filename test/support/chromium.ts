/**
 * A real headless Chromium: the one that npm ships (Linux on x64), or an installed Chrome elsewhere
 * (CHROME_PATH, else Playwright's `chrome` channel).
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Browser, LaunchOptions } from 'playwright-core';
import { chromium } from 'playwright-core';

/** Without these, each start tries to reach hosts that tests must not need. */
const QUIET = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Why there is no browser to test with; null where there is one. */
export const whyNoBrowser: string | null =
  hasPackaged() || process.env.CHROME_PATH || findInstalled()
    ? null
    : 'no Chromium: npm ships one for Linux on x64 only; install Chrome or set CHROME_PATH';

export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({ headless: true, args: QUIET, ...(await executable()) });
}

async function executable(): Promise<Pick<LaunchOptions, 'executablePath' | 'env' | 'channel'>> {
  const installed = process.env.CHROME_PATH ?? (hasPackaged() ? undefined : findInstalled());
  if (installed) return { executablePath: installed };
  const { default: packaged } = await import('@sparticuz/chromium');
  const executablePath = await packaged.executablePath();
  return { executablePath, env: { ...definedEnv(), ...(await missingLibraries(executablePath)) } };
}

function hasPackaged(): boolean {
  return process.platform === 'linux' && process.arch === 'x64';
}

function findInstalled(): string | undefined {
  return [
    '/usr/bin/chromium',
    '/usr/bin/google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  ].find((path) => existsSync(path));
}

/**
 * The packaged binary wants NSS, which a bare machine lacks. The package brings it for Amazon Linux;
 * it works elsewhere, and is used only where the machine's own is missing.
 */
async function missingLibraries(executablePath: string): Promise<Record<string, string>> {
  const { stdout } = spawnSync('ldd', [executablePath], { encoding: 'utf8' });
  if (!stdout.includes('not found')) return {};
  return { LD_LIBRARY_PATH: await packagedLibraries() };
}

async function packagedLibraries(): Promise<string> {
  const main = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const { inflate } = (await import(join(dirname(main), '..', 'esm', 'lambdafs.js'))) as {
    inflate: (path: string) => Promise<string>;
  };
  const folder = await inflate(join(dirname(main), '..', '..', 'bin', 'al2023.tar.br'));
  return join(folder, 'lib');
}

function definedEnv(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
}

/** A temporary folder that is removed at the end. */
export async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'tributary-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
