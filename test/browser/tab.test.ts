/**
 * A real browser tab and Node clients in the same rounds, on a real coordinator with real Postgres.
 * TRIBUTARY_SCREENSHOT=path keeps a picture of the page (`npm run screenshot`).
 */
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join as joinPath } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { encodeDataset, writeDataset } from '../../client/data/load.js';
import { join } from '../../client/join.js';
import { initialParams } from '../../client/tfjs/model.js';
import { encodeParams } from '../../client/params.js';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { subset } from '../../client/tfjs/dataset.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { Task } from '../../protocol/model.js';
import type { Coordinator } from '../../server/app.js';
import { createCoordinator } from '../../server/app.js';
import type { Api } from '../../server/cli/api.js';
import { connectApi } from '../../server/cli/api.js';
import { iidPartition } from '../../server/simulation/partition.js';
import { loadDigits, splitDigits } from '../../server/simulation/digits.js';
import { digitsTask } from '../../server/simulation/tasks.js';
import { randomStream } from '../../server/core/random.js';
import { launchBrowser, temporaryFolder, whyNoBrowser } from '../support/chromium.js';
import { testDatabase } from '../support/postgres.js';
import { runSql } from '../support/sql.js';

/** More for the picture than the test needs. */
const ROUNDS = process.env.TRIBUTARY_SCREENSHOT ? 6 : 3;

const everyRound = Array.from({ length: ROUNDS }, (_, i) => i + 1);

if (whyNoBrowser) console.warn(`browser tests are skipped: ${whyNoBrowser}`);

describe.skipIf(whyNoBrowser !== null)('a browser tab as a client', () => {
  let browser: Browser;
  let task: Task;
  let shares: readonly Dataset[];
  let heldOut: Dataset;

  beforeAll(async () => {
    browser = await launchBrowser();
    const split = splitDigits(await loadDigits(), 5, { test: 1000, proxy: 0 });
    const order = iidPartition(900, 1, randomStream(5, 'tab-test'))[0];
    // Unequal, so that no weight can stand in for another.
    shares = [order.slice(0, 260), order.slice(260, 420), order.slice(420)].map((indices) =>
      subset(split.clients, indices),
    );
    heldOut = subset(split.test, [...Array(200).keys()]);
    task = await digitsTask();
  });

  afterAll(async () => {
    await browser.close();
  });

  async function openCoordinator(
    options: Parameters<typeof createCoordinator>[0] = {},
  ): Promise<{ coordinator: Coordinator; api: Api; folder: string; databaseUrl: string }> {
    const folder = await temporaryFolder();
    const database = await testDatabase();
    const coordinator = await createCoordinator({
      databaseUrl: database.url,
      dataDir: folder.path,
      port: 0,
      logLevel: 'silent',
      ...options,
    });
    onTestFinished(async () => {
      await coordinator.close();
      await database.drop();
      await folder.remove();
    });
    const api = connectApi(coordinator.url, coordinator.operatorToken);
    return { coordinator, api, folder: folder.path, databaseUrl: database.url };
  }

  async function createRun(
    api: Api,
    clients: readonly string[],
  ): Promise<{ id: string; tokens: string[] }> {
    const { model } = task;
    const blob = await api.putBlob(encodeParams(model, await initialParams(model, 1)));
    const { id } = await api.createRun({
      name: 'digits',
      task,
      rule: { name: 'fedavg' },
      rounds: ROUNDS,
      training: { batchSize: 32, learningRate: 0.05, momentum: 0.9 },
      init: { blob },
      cohort: { size: clients.length, waitMs: 120_000 },
      quorum: { min: clients.length },
    });
    const tokens = [];
    for (const name of clients) tokens.push((await api.enrol(id, name, 'source')).token);
    return { id, tokens };
  }

  async function openPage(url: string): Promise<{ page: Page; problems: string[] }> {
    const page = await browser.newPage({ viewport: { width: 1080, height: 820 } });
    onTestFinished(() => page.close());
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    await page.goto(url);
    return { page, problems };
  }

  test('trains in the same rounds as Node clients, on the page that the coordinator serves', async () => {
    const { coordinator, api, folder, databaseUrl } = await openCoordinator();
    const { id, tokens } = await createRun(api, ['tab', 'node-1', 'node-2']);
    const file = joinPath(folder, 'tab.safetensors');
    await writeDataset(file, shares[0]);
    const validation = joinPath(folder, 'validation.safetensors');
    await writeDataset(validation, heldOut);

    const { page, problems } = await openPage(coordinator.url);
    await page.fill('#token', tokens[0]);
    await page.setInputFiles('#data', file);
    await page.setInputFiles('#validation', validation);
    await page.click('#submit');
    const others = [1, 2].map((k) =>
      join({ url: coordinator.url, token: tokens[k], train: tfjsTrainer({ data: shares[k] }) }),
    );

    await page.waitForFunction(
      () => ['completed', 'stopped'].includes(document.getElementById('status')?.textContent ?? ''),
      undefined,
      { timeout: 50_000 },
    );
    await Promise.all(others);
    expect(problems).toEqual([]);
    expect(await page.textContent('#status')).toBe('completed');
    expect(await page.locator('#rounds tr').count()).toBe(ROUNDS);
    const { TRIBUTARY_SCREENSHOT: picture } = process.env;
    if (picture) await page.screenshot({ path: picture, fullPage: true });

    const rows = await runSql<{ round: number; status: string; weight: number }>(
      databaseUrl,
      `SELECT a.round, u.status, u.weight FROM updates u JOIN assignments a ON a.id = u.assignment_id
       WHERE a.run_id = '${id}' AND a.client_id = 'tab' ORDER BY a.round`,
    );
    expect(rows.map((row) => [row.round, row.status])).toEqual(
      everyRound.map((r) => [r, 'accepted']),
    );
    const shown = await page.locator('#rounds tr td:nth-child(5)').allTextContents();
    expect(shown).toEqual(rows.map((row) => row.weight.toFixed(4)).reverse());
    const history = (await api.run(id)).history;
    expect(history.at(-1)?.evaluation?.sites.tab.numExamples).toBe(heldOut.size);
  });

  test('trains from a page of another site, by one script, where its origin is allowed', async () => {
    const few = encodeDataset(subset(shares[0], [...Array(32).keys()]));
    const origin = await otherSite(few);
    const { coordinator, api } = await openCoordinator({ allowedOrigins: [origin] });
    const { id, tokens } = await createRun(api, ['tab']);
    const query = new URLSearchParams({ url: coordinator.url, token: tokens[0] });
    const { page, problems } = await openPage(`${origin}/?${query}`);

    await page.waitForFunction(() => document.title !== 'another site');
    expect(await page.title()).toBe(`completed on wasm: rounds ${everyRound.join(',')}`);
    expect(problems).toEqual([]);
    expect((await api.run(id)).history.map((round) => round.accepted)).toEqual(
      everyRound.map(() => 1),
    );
  });
});

/** As a site's author would write it: one import, nothing else. Reports in its title. */
const OTHER_PAGE = `<!doctype html>
<title>another site</title>
<link rel="icon" href="data:," />
<script type="module">
  const { url, token } = Object.fromEntries(new URLSearchParams(location.search));
  try {
    const { datasetOf, decodeSafetensors, fetchTask, join, workerTrainer } =
      await import(url + '/sdk/tributary.js');
    const { task } = await fetchTask({ url, token });
    const file = new Uint8Array(await (await fetch('/data.safetensors')).arrayBuffer());
    const data = datasetOf(task.data, decodeSafetensors(file).tensors);
    const { train, backend } = await workerTrainer({ data });
    const { status, rounds } = await join({ url, token, train });
    document.title = status + ' on ' + backend + ': rounds ' + rounds;
  } catch (error) {
    document.title = String(error);
  }
</script>`;

/** @returns the origin of a site that is not the coordinator's. */
async function otherSite(data: Uint8Array): Promise<string> {
  const site = createServer((request, response) => {
    if (request.url === '/data.safetensors') response.end(data);
    else response.setHeader('content-type', 'text/html').end(OTHER_PAGE);
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  onTestFinished(() => void site.close());
  return `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
}
