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
import { encodeParams } from '../../client/tfjs/params.js';
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

const ROUNDS = 3;

if (whyNoBrowser) console.warn(`browser tests are skipped: ${whyNoBrowser}`);

describe.skipIf(whyNoBrowser !== null)('a browser tab as a client', () => {
  let browser: Browser;
  let task: Task;
  let shares: readonly Dataset[];
  let heldOut: Dataset;

  beforeAll(async () => {
    browser = await launchBrowser();
    const split = splitDigits(await loadDigits(), 5, { test: 1000, proxy: 0 });
    const parts = iidPartition(900, 3, randomStream(5, 'tab-test'));
    shares = parts.map((indices) => subset(split.clients, indices));
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
    if (picture) await page.screenshot({ path: picture });

    const rows = await runSql(
      databaseUrl,
      `SELECT a.round, u.status, u.weight FROM updates u JOIN assignments a ON a.id = u.assignment_id
       WHERE a.run_id = '${id}' AND a.client_id = 'tab' ORDER BY a.round`,
    );
    expect(rows.map((row) => [row.round, row.status])).toEqual(
      [1, 2, 3].map((r) => [r, 'accepted']),
    );
    const shown = await page.locator('#rounds tr td:nth-child(5)').allTextContents();
    expect(shown).toEqual(rows.map((row) => Number(row.weight).toFixed(4)).reverse());
    const history = (await api.run(id)).history;
    expect(history.at(-1)?.evaluation?.sites.tab.numExamples).toBe(heldOut.size);
  });

  test('trains from a page of another site, by one script, where its origin is allowed', async () => {
    const site = createServer((request, response) => {
      const isPage = request.url === '/';
      response.writeHead(isPage ? 200 : 404, { 'content-type': 'text/html' });
      response.end(isPage ? '<!doctype html><title>another site</title>' : '');
    });
    site.listen(0, '127.0.0.1');
    await once(site, 'listening');
    onTestFinished(() => void site.close());
    const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
    const { coordinator, api } = await openCoordinator({ allowedOrigins: [origin] });
    const { id, tokens } = await createRun(api, ['tab']);
    const { page, problems } = await openPage(`${origin}/`);

    const summary = await page.evaluate(
      async ({ url, token, file }) => {
        type Sdk = typeof import('../../client/browser/index.js');
        const sdk = (await import(`${url}/sdk/tributary.js`)) as Sdk;
        const { task: contract } = await sdk.fetchTask({ url, token });
        const { tensors } = sdk.decodeSafetensors(Uint8Array.from(file));
        const trainer = await sdk.workerTrainer({ data: sdk.datasetOf(contract.data, tensors) });
        const result = await sdk.join({
          url,
          token,
          train: trainer.train,
          backends: [trainer.backend],
        });
        trainer.close();
        return { status: result.status, rounds: result.rounds, backend: trainer.backend };
      },
      {
        url: coordinator.url,
        token: tokens[0],
        file: [...encodeDataset(subset(shares[0], [...Array(32).keys()]))],
      },
    );

    expect(problems.filter((text) => !text.includes('favicon'))).toEqual([]);
    expect(summary).toEqual({ status: 'completed', rounds: [1, 2, 3], backend: 'wasm' });
    expect((await api.run(id)).history.map((round) => round.accepted)).toEqual([1, 1, 1]);
  });
});
